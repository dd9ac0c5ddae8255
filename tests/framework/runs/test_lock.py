"""One trainer at a run: real processes, killed, stopped, of other machines, on a disk and gs://."""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from etils import epath

from podway.framework.error import PodwayError
from podway.framework.runs import lock
from podway.framework.runs.lock import Holder, LockedError

HOLD = """
import sys, time
from etils import epath
from podway.framework.error import PodwayError
from podway.framework.runs import lock
lock.RENEWED, lock.EXPIRES = 0.2, 2.0
if len(sys.argv) > 2:  # as another machine would
    lock._machine = lambda: sys.argv[2]
try:
    with lock.hold(epath.Path(sys.argv[1])) as held:
        print("held", flush=True)
        while True:
            held.check()
            time.sleep(0.02)
except PodwayError as error:
    print(error, flush=True)
"""


@pytest.fixture
def run(tmp_path) -> epath.Path:
    return epath.Path(tmp_path) / "runs" / "mine" / "0123456789ab-01234567"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(lock, "RENEWED", 0.2)
    monkeypatch.setattr(lock, "EXPIRES", 2.0)


@pytest.fixture
def start(request):
    """Starts a process that holds the lock of a run until it is killed."""
    started = []

    def begin(*arguments) -> subprocess.Popen:
        command = [sys.executable, "-c", HOLD, *map(str, arguments)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()


def said(process: subprocess.Popen) -> str:
    """The next line that it prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def pid_of(run: epath.Path) -> int | None:
    found = lock.holder_of(run)
    return found and found.pid


def test_a_second_trainer_is_told_who_trains_where_and_since_when(run, start):
    holder = start(run)
    assert said(holder) == "held"
    found = lock.holder_of(run)
    assert found is not None
    since = found.since
    began = time.monotonic()
    with pytest.raises(LockedError) as caught, lock.hold(run):
        pass
    assert time.monotonic() - began < 1, "at once"
    assert f"{run} is being trained by " in str(caught.value)
    assert f" on {socket.gethostname()} (process {holder.pid}) since {since}" in str(caught.value)
    assert isinstance(caught.value, PodwayError)


def test_a_killed_process_has_nothing_and_a_stopped_one_still_has(run, start):
    holder = start(run)
    assert said(holder) == "held"
    holder.send_signal(signal.SIGSTOP)
    time.sleep(lock.EXPIRES + 0.5)
    with pytest.raises(LockedError, match=f"process {holder.pid}"), lock.hold(run):
        pass
    holder.kill()  # it is dead, though nobody has waited for it
    until = time.monotonic() + 5
    while True:
        try:
            with lock.hold(run):
                assert pid_of(run) == os.getpid()
            break
        except LockedError:
            assert time.monotonic() < until
    assert not run.parent.exists(), "nothing is left behind"


def test_the_number_of_a_dead_process_may_be_another_ones(run):
    old = dataclasses.replace(Holder.here(), started="1")
    run.parent.mkdir(parents=True)
    lock._file_of(run).write_text(old.text())
    with lock.hold(run):
        pass


def test_a_lock_of_another_machine_is_believed_while_it_is_renewed(run, start, capsys):
    holder = start(run, "another machine")
    assert said(holder) == "held"
    began = time.monotonic()
    with pytest.raises(LockedError, match=f"process {holder.pid}"), lock.hold(run):
        pass
    assert time.monotonic() - began < lock.EXPIRES
    assert "on another machine; waiting up to 2 s" in capsys.readouterr().out
    holder.kill()
    began = time.monotonic()
    with lock.hold(run):
        assert time.monotonic() - began > lock.EXPIRES - 0.5
        assert pid_of(run) == os.getpid()


def test_of_several_that_wait_for_a_dead_machine_one_goes_on(run, start):
    dead = dataclasses.replace(Holder.here(), machine="elsewhere", token="dead")
    run.parent.mkdir(parents=True)
    lock._file_of(run).write_text(dead.text())
    waiting = [start(run, f"machine {number}") for number in range(3)]
    answers = []
    for process in waiting:
        assert "waiting up to" in said(process)
        thread = threading.Thread(target=lambda p=process: answers.append(said(p)))
        thread.start()
    until = time.monotonic() + 20
    while len(answers) < 3 and time.monotonic() < until:
        time.sleep(0.05)
    assert sorted(each[:4] for each in answers).count("held") == 1
    assert sum("is being trained by" in each for each in answers) == 2


def test_what_expired_long_ago_is_free_at_once(run):
    old = dataclasses.replace(
        Holder.here(), machine="elsewhere", renewed="2020-01-01T00:00:00+00:00"
    )
    run.parent.mkdir(parents=True)
    lock._file_of(run).write_text(old.text())
    began = time.monotonic()
    with lock.hold(run):
        assert time.monotonic() - began < 1


def test_a_text_that_nobody_can_read_expires_too(run):
    run.parent.mkdir(parents=True)
    lock._file_of(run).write_text('{"token": ')
    with lock.hold(run):
        pass


def test_who_slept_too_long_is_told_and_takes_nothing_away(run, start):
    sleeper = start(run, "a laptop")
    assert said(sleeper) == "held"
    sleeper.send_signal(signal.SIGSTOP)
    with lock.hold(run) as held:
        sleeper.send_signal(signal.SIGCONT)
        assert f"the run goes on with {Holder.here().user} on" in said(sleeper)
        sleeper.wait(timeout=10)
        time.sleep(0.5)
        held.check()
        assert pid_of(run) == os.getpid()


def test_on_gs_too(strict_store):
    run = f"{strict_store.bucket()}/w/runs/mine/0123456789ab-01234567"
    holder = strict_store.start("-c", HOLD, run)
    try:
        assert said(holder) == "held"
        second = strict_store.run("-c", HOLD, run)
        assert f"(process {holder.pid})" in second.stdout, second.stderr
        time.sleep(1)  # a few renewals
        assert holder.poll() is None
        other = strict_store.run("-c", HOLD, run, "another machine")
        assert "waiting up to 2 s" in other.stdout, other.stderr
        assert f"is being trained by {Holder.here().user}" in other.stdout
    finally:
        holder.kill()
        holder.wait()
    again = strict_store.start("-c", HOLD, run, "another machine")
    try:
        assert "waiting up to" in said(again)
        assert said(again) == "held"
    finally:
        again.kill()
        again.wait()
