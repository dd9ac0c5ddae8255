"""Rollouts on the real embedded server, under load: what is worse goes back by itself, in time."""

import asyncio
import collections
import contextlib
import dataclasses
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from podway.export import layout
from podway.export.versions import models_config, promote
from podway.framework.config import Rollout
from podway.launch.rollout.controller import Controller
from podway.launch.rollout.labels import Labels
from podway.online.rollout import client, state, store
from podway.online.servers import rest, rpc
from podway.online.servers.answer import ServerError
from tests.export.server.conftest import Client, free_ports
from tests.launch.rollout.conftest import put
from tests.test_walls import ROOT

PLAN = Rollout(
    shares=(0.2, 0.5),
    requests=150,
    shortest_seconds=2.0,
    longest_seconds=120.0,
    load_seconds=20.0,
    client_seconds=1.5,
    interval_seconds=0.5,
    value_margin=0.1,
)
RATE = 60.0
"""Requests a second."""
LIMIT = 60.0
"""Seconds from the evidence to a version that answers."""


@contextlib.contextmanager
def server(workdir: pathlib.Path):
    """The embedded server as a process of its own, of a workdir's models. Yields gRPC and REST."""
    port, rest_port = free_ports()
    command = [sys.executable, "-m", "podway.export.server"]
    command += [f"--model_config_file={layout.server_config(workdir)}", f"--port={port}"]
    command += [f"--rest_api_port={rest_port}", "--model_config_file_poll_wait_seconds=1"]
    command += ["--max_num_load_retries=0", "--file_system_poll_wait_seconds=1"]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"})
    try:
        asked = Client(port, rest_port, None)
        end = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError):
                if asked.states() and set(asked.states().values()) == {"AVAILABLE"}:
                    break
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < end
            time.sleep(0.2)
        yield f"127.0.0.1:{port}", f"http://127.0.0.1:{rest_port}"
    finally:
        process.terminate()
        process.wait(60)


@dataclasses.dataclass
class Load:
    """What users got, in an open loop, each user once."""

    arms: collections.Counter
    failed: collections.Counter
    versions: collections.Counter

    def run(self, home, address: str, stop: threading.Event, *, again: bool, by: str) -> None:
        asyncio.run(self._run(home, address, stop, again, by))

    async def _run(self, home, address, stop, again, by) -> None:
        module = rpc if by == "rpc" else rest
        # Long, as tests share their machine with others.
        options = client.Options(refresh=0.5, again=again, timeout=60.0)
        async with (
            module.connected(address) as asked,
            client.opened(home, asked, options) as asking,
        ):
            draw, tasks, number = random.Random(0), set(), 0
            begin = time.monotonic()
            while not stop.is_set():
                number += 1
                task = asyncio.create_task(self._one(asking, f"user {number}", draw.random()))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                await asyncio.sleep(max(0.0, begin + number / RATE - time.monotonic()))
            if tasks:
                await asyncio.wait(tasks)

    async def _one(self, asking, user: str, luck: float) -> None:
        arm = asking.split.arm(user)
        try:
            given = await asking.predict(user, {"history": [[user, "b"]]})
        except ServerError as error:
            self.failed[f"{arm} {error}"] += 1
            return
        self.arms[given.arm] += 1
        self.versions[given.version] += 1
        # A good item is clicked by half of the users.
        worth = given.outputs["item"][0][0] == "i1" and luck < 0.5
        asking.value(given, float(worth))


@contextlib.contextmanager
def under_load(home, address: str, *, again: bool = True, by: str = "rpc"):
    load = Load(*(collections.Counter() for _ in range(3)))
    stop = threading.Event()
    thread = threading.Thread(
        target=load.run, args=(home, address, stop), kwargs={"again": again, "by": by}
    )
    thread.start()
    try:
        yield load
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> pathlib.Path:
    return tmp_path_factory.mktemp("library")


@pytest.fixture
def workdir(tmp_path, library) -> pathlib.Path:
    """Version 1 serves."""
    put(tmp_path / "w", library, "good")
    return tmp_path / "w"


def roll(workdir, version: int, address: str, plan: Rollout = PLAN) -> state.State:
    home = layout.models(workdir) / "m"
    controller = Controller(home, Labels("m", workdir, address))
    controller.begin("m", version, plan)
    return controller.run()


def publish_beside(workdir, library, fault: str) -> int:
    """A new version that nobody gets yet, though an export has it served."""
    promote.promote("m", 1, workdir, label="stable")
    version = put(workdir, library, fault)
    promote.rollback("m", workdir)
    return version


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["nan", "slow", "empty", "worthless", "broken"])
def test_a_version_that_is_worse_goes_back_by_itself(workdir, library, fault):
    home = layout.models(workdir) / "m"
    with server(workdir) as (address, _):
        version = publish_beside(workdir, library, fault)
        with under_load(home, address) as load:
            time.sleep(2)
            begin = time.monotonic()
            last = roll(workdir, version, address)
            took = time.monotonic() - begin
            time.sleep(2)
        back = state.seconds(last.evidence, last.since)
        print(f"{fault}: {last.reason}; known {took - back:.1f} s after it began", end=" ")
        print(f"and back {back:.1f} s later; {dict(load.arms)}, {dict(load.versions)}")
        assert last.phase == "returned"
        assert back < LIMIT
        assert not load.failed, "users saw what was tried for us"
        words = {
            "nan": "NOT_FINITE",
            "slow": "were slow",
            "empty": "were empty",
            "worthless": "were worth",
            "broken": "could not load",
        }
        assert words[fault] in last.reason
        served = models_config.served(layout.server_config(workdir), "m")
        assert served == models_config.Served((1,), {"stable": 1})


@pytest.mark.slow
def test_a_version_that_is_no_worse_comes_to_all(workdir, library):
    home = layout.models(workdir) / "m"
    with server(workdir) as (address, url):
        version = publish_beside(workdir, library, "good")
        with under_load(home, url, by="rest") as load:
            time.sleep(2)
            last = roll(workdir, version, address, dataclasses.replace(PLAN, shadow=0.5))
            time.sleep(2)
        print(f"stable after {len(store.history(home))} changes; {dict(load.arms)}")
        assert (last.phase, last.reason) == ("stable", "")
        assert not load.failed
        served = models_config.served(layout.server_config(workdir), "m")
        assert served == models_config.Served((2,), {"stable": 2})
        phases = [each.phase for each in store.history(home)]
        assert phases == ["loading", "shadow", "canary", "canary", "promoting", "stable"]


@pytest.mark.slow
def test_without_asking_again_only_users_of_the_share_see_it(workdir, library):
    home = layout.models(workdir) / "m"
    with server(workdir) as (address, _):
        version = publish_beside(workdir, library, "empty")
        with under_load(home, address, again=False) as load:
            time.sleep(2)
            last = roll(workdir, version, address)
            time.sleep(2)
        assert last.phase == "returned"
        assert {each.split(" ")[0] for each in load.failed} <= {"canary"}


def command(workdir, *given: str) -> list[str]:
    plan = ("--rollout.shares", "0.3", "--rollout.requests", "100000")
    times = ("--rollout.client-seconds", "1", "--rollout.interval-seconds", "0.2")
    at = ("--workdir", os.fspath(workdir))
    return [sys.executable, "-m", "podway.launch.cli", "rollout", "m", *given, *plan, *times, *at]


@pytest.mark.slow
@pytest.mark.parametrize("struck", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
def test_a_controller_that_is_struck_goes_on_or_another_does_and_two_never_act(
    workdir, library, struck
):
    home = layout.models(workdir) / "m"
    with server(workdir) as (address, _):
        version = publish_beside(workdir, library, "good")
        begin = command(workdir, str(version), "--server", address)
        with under_load(home, address) as load:
            first = subprocess.Popen(begin, cwd=ROOT, stdout=subprocess.PIPE, text=True)
            wait_for(home, "canary")
            if struck == signal.SIGSTOP:
                first.send_signal(struck)
            other = subprocess.run(begin, cwd=ROOT, capture_output=True, text=True)
            assert other.returncode == 75
            assert f"m is being rolled out by {lock_user()}" in other.stderr
            assert store.history(home)[-1].phase == "canary", "nobody takes it on"
            if struck == signal.SIGSTOP:
                first.send_signal(signal.SIGCONT)
                second = first
            else:
                first.send_signal(struck)
                assert first.wait(60) == {signal.SIGKILL: -9, signal.SIGTERM: 42}[struck]
                assert store.history(home)[-1].phase == "canary"
                second = subprocess.Popen(begin, cwd=ROOT, stdout=subprocess.PIPE, text=True)
            time.sleep(10)
            end = [*command(workdir, "--abort"), "--server", address]
            asked = time.monotonic()
            ended = subprocess.run(end, cwd=ROOT, capture_output=True, text=True, check=True)
            took = time.monotonic() - asked
            said, _ = second.communicate(timeout=60)
        print(f"ended on demand in {took:.1f} s, the start of the command included")
        assert "returned (ended by " in ended.stdout
        assert second.returncode == 1
        assert "back to version 1" in said
        assert not load.failed
        served = models_config.served(layout.server_config(workdir), "m")
        assert served == models_config.Served((1,), {"stable": 1})


def lock_user() -> str:
    from podway.framework.runs import lock

    return lock.Holder.here().user


def wait_for(home, phase: str) -> None:
    end = time.monotonic() + 120
    while (now := store.read(home)) is None or now.phase != phase:
        assert time.monotonic() < end, now
        time.sleep(0.1)
