"""Services of events and answers that are struck: no event is lost, and none counts twice."""

import contextlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from podway.framework import codec, exit_codes
from tests.online.lander.conftest import (
    Place,
    event,
    landed,
    message,
    now_hour,
    place,
    shards,
    until,
)
from tests.online.nearline import test_apply
from tests.online.nearline.doubles import events
from tests.online.nearline.test_service import ROOT, chosen, known, opened, publish, wait
from tests.survival import faults, storage

__all__ = ["place"]
pytestmark = pytest.mark.slow
PATIENCE = 60.0


@contextlib.contextmanager
def lander(place: Place, root: object, *wrapper: str, **environment: str) -> Iterator:
    """`podway lander`, ready; afterwards it has ended in good order, unless it ended by itself."""
    command = [*wrapper, sys.executable, "-m", "podway.launch.cli", "lander", "movielens_sasrec"]
    command += ["--online.queue.path", place.config.path, "--online.lander.path", str(root)]
    command += ["--online.lander.seconds", "0.2", "--page-port", "0"]
    process = subprocess.Popen(
        [*command, "--workdir", str(place.folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("lander of movielens_sasrec")
        yield process
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


def given(place: Place, first: int, count: int) -> None:
    place.publish([message(event(at, now_hour() + at)) for at in range(first, first + count)])


def each_once(root: pathlib.Path, count: int) -> bool:
    return sorted(landed(root)["id"].to_pylist()) == sorted(f"e{at}" for at in range(count))


def test_a_lander_that_was_stopped_for_a_while_lands_each_event_once(place: Place):
    with lander(place, place.root) as process:
        given(place, 0, 200)
        until(lambda: len(landed(place.root)) > 0, PATIENCE)
        process.send_signal(signal.SIGSTOP)
        given(place, 200, 200)
        time.sleep(2.0)
        process.send_signal(signal.SIGCONT)
        until(lambda: len(landed(place.root)) >= 400, PATIENCE)
    assert each_once(place.root, 400)


def test_a_lander_whose_clock_goes_back_lands_each_event_once(place: Place):
    if reason := faults.ClockBack.missing():
        pytest.skip(f"it needs {reason}")
    clock = place.folder / "clock"
    with lander(place, place.root, **faults.clock_of(clock)):
        given(place, 0, 200)
        until(lambda: len(landed(place.root)) > 0, PATIENCE)
        faults.set_back(clock)
        given(place, 200, 200)
        until(lambda: len(landed(place.root)) >= 400, PATIENCE)
    assert each_once(place.root, 400)


def test_a_lander_that_may_not_write_for_a_while_lands_each_event_once(place: Place):
    if reason := faults.Denied.missing():
        pytest.skip(f"it needs {reason}")
    with lander(place, place.root, *faults.Denied.wrapper):
        given(place, 0, 200)
        until(lambda: len(landed(place.root)) == 200, PATIENCE)
        folders = [place.root, *(each for each in place.root.rglob("*") if each.is_dir())]
        for each in folders:
            each.chmod(0o555)
        given(place, 200, 200)
        time.sleep(2.0)
        assert len(landed(place.root)) == 200
        for each in folders:
            each.chmod(0o755)
        until(lambda: len(landed(place.root)) >= 400, PATIENCE)
    assert each_once(place.root, 400)


def test_a_lander_whose_store_is_away_or_slow_lands_each_event_once(place: Place, tmp_path):
    with storage.door() as door:
        root = f"{door.store.bucket()}/landed"
        with lander(place, root, **door.store.environment()):
            given(place, 0, 200)
            until(lambda: door.store.names(root), PATIENCE)
            door.shut = True
            given(place, 200, 200)
            time.sleep(2.0)
            door.shut, door.delay = False, 0.05
            given(place, 400, 200)
            storage.download(door.store, root, tmp_path / "copy")
            until(lambda: _landed_there(door, root, tmp_path / "copy") >= 600, PATIENCE)
        assert each_once(tmp_path / "copy", 600)


def _landed_there(door: storage.Door, root: str, copy: pathlib.Path) -> int:
    storage.download(door.store, root, copy)
    return len(landed(copy))


def test_a_shard_that_was_cut_is_named_and_once_it_is_mended_each_event_is_landed_once(
    place: Place,
):
    with lander(place, place.root):
        given(place, 0, 200)
        until(lambda: len(landed(place.root)) == 200, PATIENCE)
    whole = {path: path.read_bytes() for path in shards(place.root)}
    for path, content in whole.items():
        path.write_bytes(content[: len(content) // 2])
    given(place, 200, 200)
    with lander(place, place.root) as process:
        assert process.stderr is not None
        assert process.wait(PATIENCE) == exit_codes.REFUSED
        said = process.stderr.read()
        assert any(f"{path} is no shard that a lander wrote" in said for path in whole), said
    for path, content in whole.items():
        path.write_bytes(content)
    with lander(place, place.root):
        until(lambda: len(landed(place.root)) >= 400, PATIENCE)
    assert each_once(place.root, 400)


@pytest.mark.parametrize("fault", ["stop", "clock"])
def test_nearline_that_is_stopped_or_set_back_counts_each_event_once(tmp_path, fault):
    """One of two is struck; of a stopped one the other takes over what it had."""
    if fault == "clock" and (reason := faults.ClockBack.missing()):
        pytest.skip(f"it needs {reason}")
    clock = faults.clock_of(tmp_path / "clock") if fault == "clock" else {}
    sent = events(random.Random(6), 600, users=40)
    online = chosen(batch=20)
    command = [sys.executable, "-m", "tests.online.nearline.server"]
    command += [json.dumps(codec.to_json(online)), str(tmp_path)]
    with opened(online, tmp_path) as (producer, store), contextlib.ExitStack() as stack:
        both = []
        for _ in range(2):
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, **clock}
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout is not None
            process.stdout.readline()
            both.append(process)
        users = {each.user for each in sent}
        publish(producer, sent[:200])
        wait(lambda: known(store, users) > 0)
        if clock:
            faults.set_back(tmp_path / "clock")
            publish(producer, sent[200:400])
        else:
            both[0].send_signal(signal.SIGSTOP)
            publish(producer, sent[200:400])
            time.sleep(2.0)
            both[0].send_signal(signal.SIGCONT)
        publish(producer, sent[400:])
        wait(lambda: known(store, users) == len(sent))
        for each in both:
            each.send_signal(signal.SIGTERM)
        assert [each.wait(PATIENCE) for each in both] == [0, 0]
        test_apply.check(store, sent, online.nearline)
