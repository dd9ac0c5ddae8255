"""The registry of launches, and what `podway jobs`, `logs` and `stop` make of it."""

import dataclasses
import json
import pathlib
import time

import pytest

from podway.launch import cli
from podway.launch.jobs import registry
from podway.launch.jobs.registry import Record
from podway.launch.targets.error import LaunchError
from podway.launch.targets.kubernetes.target import Images, Kubernetes
from podway.launch.targets.machines import remote
from podway.launch.targets.machines.target import Machines
from tests.launch.targets.machines import hosts
from tests.launch.targets.machines.test_agent import VERSION, WAIT, Machine


def a_record(name: str = "shop-1", **fields) -> Record:
    given = Record(
        name, "machines", Machines(hosts=("a", "b")), "shop", "/shared/w", "h", launched=time.time()
    )
    return dataclasses.replace(given, **fields)


@pytest.fixture(autouse=True)
def state(monkeypatch, tmp_path) -> pathlib.Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    return tmp_path / "state"


@pytest.mark.parametrize(
    "target",
    [
        Machines(hosts=("a",), environment=("A=1",), ssh_options=("Port=2",)),
        Kubernetes(namespace="lab", images=Images(train="a/b@sha256:" + 64 * "0")),
    ],
)
def test_what_was_launched_is_read_back(target):
    kind = type(target).__name__.lower()
    record = a_record(target=target, kind=kind)
    registry.write(record)
    assert registry.find("shop-1") == record
    assert registry.find("shop-2") is None


def test_the_latest_comes_first_and_what_ended_long_ago_is_forgotten(state):
    for name, launched in (("a", 1.0), ("b", 3.0), ("c", 2.0)):
        registry.write(a_record(name, launched=launched))
    registry.write(a_record("old", end="complete", ended=time.time() - registry.KEEP - 1))
    assert [record.name for record in registry.read()] == ["b", "c", "a"]
    assert len(list((state / "podway/launches").iterdir())) == 3


def test_it_lies_in_the_home_folder_without_another_place(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert registry.folder() == tmp_path / ".local/state/podway/launches"


@pytest.mark.parametrize("text", ["{", "{}", '{"kind": "slurm", "target": {}}', "[]"])
def test_a_broken_record_is_named(state, text):
    registry.write(a_record())
    (path,) = (state / "podway/launches").iterdir()
    path.write_text(text)
    with pytest.raises(LaunchError, match=r"shop-1\.json: it is no record of a launch .*delete it"):
        registry.read()


def podway(capsys, *arguments: str) -> tuple[int, str, str]:
    code = 0
    try:
        cli.main(list(arguments))
    except SystemExit as end:
        code = int(end.code or 0)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A host that is this machine, without ssh between."""
    found = Machine(tmp_path)
    reached = hosts.LocalSsh({"a": tmp_path / "home"})

    class Connections:
        def __enter__(self):
            return reached

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(remote.ssh, "connections", lambda *_: Connections())
    registry.write(a_record("x", target=found.control.remote.target))
    yield found
    hosts.end(found.home)


def test_launches_on_machines_are_listed_where_there_is_no_cluster(machine, capsys):
    machine.start(WAIT)
    machine.until("running")
    code, out, err = podway(capsys, "jobs", "--json")
    assert (code, err) == (0, "")
    (row,) = json.loads(out)
    assert (row["launch"], row["phase"], row["processes"]) == ("x", "running", "1/1")
    code, out, _ = podway(capsys, "jobs")
    assert [line.split()[0] for line in out.splitlines()] == ["launch", "x"]


def test_a_cluster_that_a_launch_is_on_is_missed(machine, capsys):
    registry.write(a_record("k", kind="kubernetes", target=Kubernetes(namespace="lab")))
    code, out, err = podway(capsys, "jobs", "--json")
    assert code == 0
    assert [row["launch"] for row in json.loads(out)] == ["x"]
    assert "podway: namespace lab: no cluster to talk to" in err


def test_without_any_launch_the_cluster_is_missed(capsys):
    code, _, err = podway(capsys, "jobs")
    assert code == 1
    assert "no cluster to talk to" in err


def test_who_was_seen_to_be_complete_is_not_asked_again(machine, capsys):
    machine.start(VERSION)
    machine.until("complete")
    for _ in range(2):
        _, out, _ = podway(capsys, "jobs", "--json")
        assert json.loads(out)[0]["phase"] == "complete"
        machine.control.remote.ssh.errors["a"] = AssertionError("asked")
    record = registry.find("x")
    assert record
    assert record.end == "complete"


def test_a_host_that_cannot_be_asked_hides_no_other_launch(machine, capsys):
    registry.write(a_record("off", target=Machines(hosts=("a",), python="/no/python")))
    machine.start(WAIT)
    machine.until("running")
    _, out, _ = podway(capsys, "jobs", "--json")
    rows = {row["launch"]: row for row in json.loads(out)}
    assert rows["x"]["phase"] == "running"
    assert rows["off"]["phase"] == "unknown"
    assert "/no/python" in rows["off"]["says"]


def test_stop_and_logs_know_the_machines_by_the_launchs_name(machine, capsys):
    machine.start(WAIT)
    machine.until("running")
    code, out, _ = podway(capsys, "stop", "x")
    assert code == 0
    assert "x: its processes save, and end" in out
    assert "x: stopped; the same `podway launch` goes on from its last save" in out
    assert machine.seen().state == "stopped"
    assert podway(capsys, "stop", "x")[1] == "x does not run: stopped\n"
    machine.start(VERSION)
    machine.until("complete")
    code, out, _ = podway(capsys, "logs", "x", "--tail", "1")
    assert out.startswith("podway 0")
    code, out, _ = podway(capsys, "logs", "x")
    assert code == 0
    assert out.endswith("launch x: complete\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--process", "3"), "there is no process 3 of x; give 0 to 0"),
        (("--pod", "p"), "--pod is of launches on a cluster; give --process NUMBER"),
        (("--tail", "-1"), "--tail is -1; give 0 or more"),
    ],
)
def test_logs_of_what_there_is_not(machine, capsys, arguments, message):
    code, _, err = podway(capsys, "logs", "x", *arguments)
    assert code in (1, 2)
    assert message in err
