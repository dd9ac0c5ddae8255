"""The agent and the runner as processes, without ssh between."""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from podway.framework import exit_codes
from podway.framework.runs import lifetime
from podway.launch.targets.error import LaunchError
from podway.launch.targets.machines import status
from podway.launch.targets.machines.control import Control
from podway.launch.targets.machines.remote import Remote
from tests.launch.targets.machines import hosts

VERSION = {"name": "train", "arguments": ["--version"], "environment": {}}
MISUSED = {"name": "train", "arguments": ["nonsense"], "environment": {}}
WAIT = {"name": "wait", "arguments": [], "environment": {}}


class Machine:
    """One process of a launch on a host that is this machine."""

    def __init__(self, folder: pathlib.Path):
        (folder / "home").mkdir()
        self.workdir = folder / "w"
        target = hosts.target("a")
        self.control = Control("x", Remote(target, hosts.LocalSsh({"a": folder / "home"})))
        self.home = folder / "home/.podway/launches/x/0"

    def start(self, *stages: dict) -> bool:
        launch = {"name": "x", "hash": "h", "attempt": "1", "process": 0, "experiment": "e"}
        (process,), remote = self.control.processes, self.control.remote
        answer = remote.ask(
            process.host,
            "start",
            folder="~/.podway/launches/x/0",
            files={"source0/a.py": "eA=="},
            spec={
                "launch": launch,
                "workdir": str(self.workdir),
                "environment": remote.target.variables,
                "stages": stages,
            },
        )
        return answer["started"]

    def seen(self, **options) -> status.Seen:
        return self.control.look(**options)[0]

    def until(self, *states: str) -> status.Seen:
        deadline = time.monotonic() + 60
        while (seen := self.seen(offset=0)).state not in states or (
            states == ("running",) and "pid" not in seen.record
        ):
            assert time.monotonic() < deadline, seen
            time.sleep(0.1)
        return seen


@pytest.fixture
def machine(tmp_path):
    found = Machine(tmp_path)
    yield found
    hosts.end(found.home)


def test_it_was_never_there(machine):
    assert machine.seen(offset=0).state == "absent"


def test_a_process_runs_to_its_end_and_says_what_it_wrote(machine):
    assert machine.start(VERSION)
    seen = machine.until("complete", "failed")
    assert seen.state == "complete"
    assert seen.record["codes"] == {"train": 0}
    assert "podway: train begins\npodway 0" in seen.answer["log"]
    assert machine.seen(offset=seen.answer["offset"]).answer["log"] == ""
    assert machine.seen(tail=1).answer["log"].startswith("podway 0")
    assert (machine.home / "experiment/source0/a.py").read_text() == "x"
    environment = json.loads((machine.home / "spec.json").read_text())["environment"]
    assert 0 <= time.time() - float(environment[lifetime.SUBMITTED]) < 60


def test_a_failure_keeps_code_and_sentence(machine):
    machine.start(MISUSED, VERSION)
    seen = machine.until("complete", "failed")
    assert seen.state == "failed"
    assert seen.record["code"] == exit_codes.MISUSED
    assert "there is no verb 'nonsense'" in seen.record["said"]


def test_one_process_at_a_time_that_ends_when_it_is_asked_to(machine):
    assert machine.start(WAIT)
    assert not machine.start(WAIT)
    machine.until("running")
    machine.control.stop()
    seen = machine.until("stopped")
    assert seen.record["code"] == exit_codes.PREEMPTED
    assert machine.start(VERSION)
    assert machine.until("complete", "failed").state == "complete"


def test_it_was_asked_before_it_could_hear(machine):
    machine.start(VERSION)
    machine.until("complete")
    (machine.home / "stop").touch()
    command = [sys.executable, "-m", "podway.launch.targets.machines.runner", str(machine.home)]
    assert subprocess.run(command, check=False).returncode == exit_codes.PREEMPTED
    assert machine.seen().state == "stopped"


def test_a_machine_that_shuts_down_is_no_stop(machine):
    machine.start(WAIT)
    os.kill(machine.until("running").record["pid"], signal.SIGTERM)
    assert machine.until("lost").record["state"] == "preempted"


def test_a_machine_that_loses_power(machine):
    machine.start(WAIT, VERSION)
    os.kill(machine.until("running").record["pid"], signal.SIGKILL)
    machine.until("lost")
    machine.control.again(machine.control.processes[0], ("wait",))
    assert machine.until("complete", "failed").record["codes"] == {"train": 0}


@pytest.mark.parametrize(("code", "state"), [(0, "complete"), (1, "failed")])
def test_the_others_wait_for_the_dataset(machine, code, state):
    machine.start(WAIT, VERSION)
    machine.until("running")
    marker = machine.workdir / "launches/x/1.json"
    marker.parent.mkdir(parents=True)
    marker.write_text("")  # half written
    time.sleep(0.1)
    marker.write_text(json.dumps({"data": code}))
    seen = machine.until("complete", "failed")
    assert seen.state == state
    assert seen.record["codes"] == ({"wait": 0, "train": 0} if code == 0 else {"wait": 75})


def test_process_0_tells_of_its_dataset(machine):
    machine.start(VERSION | {"name": "data"})
    machine.until("complete")
    assert json.loads((machine.workdir / "launches/x/1.json").read_text()) == {"data": 0}


@pytest.mark.parametrize("works", [True, False])
def test_installation(machine, works):
    command = "touch $HOME/there" if works else "echo no space; exit 3"
    remote = dataclasses.replace(machine.control.remote, target=hosts.target("a", install=command))
    control = dataclasses.replace(machine.control, remote=remote)
    if works:
        control.install()
        assert (machine.workdir.parent / "home/there").exists()
    else:
        with pytest.raises(LaunchError, match=r"a: target\.install ended with 3: no space"):
            control.install()


def facts(machine: Machine, workdir: str) -> dict:
    remote = machine.control.remote
    return remote.ask(
        machine.control.processes[0].host,
        "facts",
        folder="~/.podway/launches/x/0",
        files={"experiment.json": "e30="},
        workdir=workdir,
        environment=remote.target.variables,
    )


def test_what_a_host_says_of_itself_changes_nothing_there(machine, tmp_path):
    found = facts(machine, str(tmp_path / "w/new"))
    assert (found["workdir"], found["home"], found["alive"], found["others"]) == ("", "", False, [])
    assert "expected" in found["identity"]["error"] or "missing" in found["identity"]["error"]
    assert not (tmp_path / "w").exists()
    assert not list((tmp_path / "home").iterdir())
    assert facts(machine, "/proc/w")["workdir"] == "No such file or directory"


def test_another_launch_of_this_host_is_seen(machine):
    machine.start(WAIT)
    machine.until("running")
    remote, host = machine.control.remote, machine.control.processes[0].host
    for name, others in (("x", []), ("y", ["x"])):
        folder = f"~/.podway/launches/{name}/1"
        common = {"files": {}, "workdir": "/tmp", "environment": {}}
        assert remote.ask(host, "facts", folder=folder, **common)["others"] == others


def test_a_bucket_is_shared(machine, beam_store):
    store = beam_store.environment()
    variables = machine.control.remote.target.variables | {
        name: value for name, value in store.items() if os.environ.get(name) != value
    }
    remote = dataclasses.replace(
        machine.control.remote,
        target=hosts.target("a", environment=tuple(map("=".join, variables.items()))),
    )
    host, workdir = machine.control.processes[0].host, f"{beam_store.bucket()}/w"
    common = {"workdir": workdir, "environment": remote.target.variables}
    options = {"folder": "~/.podway/launches/x/0", "files": {}}
    assert remote.ask(host, "facts", **options, **common)["workdir"] == ""
    new = remote.ask(host, "share", name="f", text="t", **common)["new"]
    reach = {"address": "", "port": 0, "seconds": 5}
    assert remote.ask(host, "join", name="f", text="t", **reach, **common)["sees"]
    remote.ask(host, "unshare", name="f", new=new, **common)
    reach["seconds"] = 0
    assert not remote.ask(host, "join", name="f", text="t", **reach, **common)["sees"]
    common["workdir"] = "gs://there-is-no-such-bucket/w"
    assert remote.ask(host, "facts", **options, **common)["workdir"]
