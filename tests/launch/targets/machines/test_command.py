"""`podway launch machines`: what it prints, and whole launches on ssh servers of this machine."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from podway.framework import exit_codes
from podway.launch import cli, experiments
from podway.launch.jobs import registry
from podway.launch.targets import frozen
from podway.launch.targets.machines import check, status
from podway.launch.targets.machines.control import Control
from podway.launch.targets.machines.launch import Launch
from podway.launch.targets.machines.target import Machines
from tests.launch.targets.machines import hosts
from tests.launch.targets.machines import test_status as states
from tests.launch.test_supervise import SHOP, losses, wait_for_step


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        cli.main(["launch", *arguments])
    printed = capsys.readouterr()
    return int(end.value.code or 0), printed.out, printed.err


GIVEN = ("--target.hosts", "gpu1", "me@gpu2:2222", "--workdir", "/shared/w")


def test_a_dry_run_prints_the_commands_of_each_host_and_asks_none(capsys):
    code, out, err = run(capsys, "machines", "movielens_sasrec", "--dry-run", *GIVEN)
    assert code == 0
    assert out.count("podway.launch.cli train experiment/experiment.json") == 2
    assert "-p 2222 -- me@gpu2" in out
    assert "--coordinator gpu1:6002 --num-processes 2 --process-id 1" in out
    assert "movielens_sasrec on 2 hosts" in err
    assert "data, evaluation and export on gpu1" in err


def test_a_dry_run_names_what_is_missing(capsys):
    code, _, err = run(
        capsys, "machines", "movielens_sasrec", "--dry-run", "--target.hosts", "a", "b"
    )
    assert code == 1
    assert "--workdir is 'workdir'; give gs://BUCKET/FOLDER, or an absolute folder" in err


TARGET = """
from podway.launch.targets.machines.target import Machines

def target():
    return Machines(hosts=("gpu1", "gpu2"), python="~/podway/bin/python")
"""


def test_a_target_has_a_file_of_its_own(capsys, tmp_path):
    path = tmp_path / "lab_of_tests.py"
    path.write_text(TARGET)
    given = ("--dry-run", "--workdir", "/w", "--target.port", "7000")
    code, out, err = run(capsys, str(path), "movielens_sasrec", *given)
    assert code == 0, err
    assert "~/podway/bin/python -m podway.launch.cli" in out
    assert "--coordinator gpu1:7000" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--workdir", "/w"), "target.hosts is empty; give --target.hosts"),
        (("--target.hosts", "a b"), "target.hosts has 'a b'; give HOST, USER@HOST or HOST:PORT"),
        (("--target.hosts", "a", "--launch-name", "A_b"), "--launch-name is 'A_b'"),
    ],
)
def test_bad_options(capsys, arguments, message):
    code, _, err = run(capsys, "machines", "movielens_sasrec", *arguments)
    assert code in (1, 2)
    assert message in err


def test_a_model_that_one_process_fits(capsys, tmp_path):
    code, _, err = run(capsys, "machines", "movielens_ease", *GIVEN)
    assert code in (1, 2)
    assert "fitted by one process; give one host" in err


def test_all_problems_of_all_hosts_are_listed_and_nothing_is_started(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    closed = [f"127.0.0.1:{hosts.free_port()}" for _ in range(2)]
    code, out, err = run(
        capsys, "machines", "movielens_sasrec", "--target.hosts", *closed, "--workdir", "/w"
    )
    assert code == 1
    for host in closed:
        assert f"  - {host}: " in out
    assert re.search(r"nothing is launched: .*Connection refused.*, and 1 more", err), err
    assert not list(tmp_path.iterdir())


class Fake:
    """In place of the hosts: they say what stands in `answers`, and note what they are told."""

    def __init__(self, monkeypatch, tmp_path, *answers: dict):
        self.answers, self.done = list(answers), []
        self.wrong: list[list[str]] = [[]]
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        monkeypatch.setattr(check, "problems", self.problems)
        for name in ("look", "start", "install"):
            monkeypatch.setattr(Control, name, self.acting(name))

    def acting(self, name: str):
        return lambda control, *_, **__: getattr(self, name)(control)

    def problems(self, *_, install: bool) -> list[str]:
        self.done.append("check to install" if install else "check")
        return self.wrong.pop(0) if self.wrong else []

    def look(self, control: Control) -> list[status.Seen]:
        if self.done[-1:] == ["start"]:
            self.answers = [states.DONE, states.TRAINED]
        return [
            status.seen(process, answer)
            for process, answer in zip(control.processes, self.answers, strict=True)
        ]

    def start(self, _: Control) -> None:
        self.done.append("start")

    def install(self, _: Control) -> None:
        self.done.append("install")


def launched(capsys, *more: str) -> tuple[int, str, str]:
    try:
        cli.main(["launch", "machines", "movielens_sasrec", *GIVEN, *more])
    except SystemExit as end:
        code = int(end.code or 0)
    else:
        code = 0
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def hash_of() -> str:
    """Of the launch that `launched` is about."""
    experiment = experiments.load("movielens_sasrec")
    return Launch(
        experiment, frozen.freeze(experiment), Machines(hosts=("gpu1",)), "/shared/w"
    ).hash


def test_what_is_not_there_yet_is_checked_started_and_followed(capsys, monkeypatch, tmp_path):
    fake = Fake(monkeypatch, tmp_path, states.NEVER, states.NEVER)
    code, out, _ = launched(capsys, "--yes")
    assert code == 0
    assert fake.done == ["check", "start"]
    assert out.splitlines()[-1].endswith(": complete")
    (record,) = registry.read()
    assert (record.kind, record.end) == ("machines", "complete")


def test_podway_is_installed_when_the_user_agreed_and_checked_then(capsys, monkeypatch, tmp_path):
    install = ("--target.install", "pip install podway")
    fake = Fake(monkeypatch, tmp_path, states.NEVER, states.NEVER)
    assert launched(capsys, *install)[0] == 1
    assert fake.done == ["check to install"]
    fake.wrong = [[], ["gpu1: Podway 2 is installed there"]]
    code, _, err = launched(capsys, "--yes", *install)
    assert code == 1
    assert "nothing is launched: gpu1: Podway 2" in err
    assert fake.done[1:] == ["check to install", "install", "check"]
    assert registry.read() == []
    launched(capsys, "--yes", *install)
    assert fake.done[-2:] == ["check", "start"]


def test_without_an_answer_nothing_is_started(capsys, monkeypatch, tmp_path):
    fake = Fake(monkeypatch, tmp_path, states.STOPPED, states.STOPPED)
    code, _, err = launched(capsys)
    assert code == 1
    assert "nothing is launched; --yes launches without asking" in err
    assert fake.done == ["check"]


def test_what_has_failed_is_started_again_if_that_is_asked_for(capsys, monkeypatch, tmp_path):
    fake = Fake(monkeypatch, tmp_path, states.REFUSED, states.PEER)
    code, _, err = launched(capsys, "--yes")
    assert code == 1
    assert "has failed: process 0 on gpu1 ended with 1" in err
    assert "trainer.steps is 0" in err
    assert "--resume starts it again from its last save" in err
    assert fake.done == []
    assert launched(capsys, "--yes", "--resume")[0] == 0
    assert fake.done == ["check", "start"]


def test_what_is_complete_is_not_done_again(capsys, monkeypatch, tmp_path):
    fake = Fake(monkeypatch, tmp_path, states.DONE, states.TRAINED)
    code, out, _ = launched(capsys, "--yes")
    assert code == 0
    assert "is complete; --resume runs it again" in out
    assert fake.done == []


def test_a_name_that_another_launch_has(capsys, monkeypatch, tmp_path):
    other = states.answer("running", alive=True, hash="other")
    Fake(monkeypatch, tmp_path, other, other)
    code, _, err = launched(capsys, "--yes", "--launch-name", "mine")
    assert code == 1
    assert "gpu1: the name 'mine' is taken by another launch, of other content" in err


def test_a_launch_that_runs_is_followed_without_a_question(capsys, monkeypatch, tmp_path):
    runs = states.answer("running", alive=True, hash=hash_of())
    fake = Fake(monkeypatch, tmp_path, runs, runs)
    code, out, _ = launched(capsys, "--detach")
    assert code == 0
    assert "is there already" in out
    assert fake.done == []
    code, _, err = launched(capsys, "--target.hosts", "gpu3", "gpu4", "--yes")
    assert code == 1
    assert "runs on gpu1, me@gpu2:2222; `podway stop movielens-sasrec-" in err


STEPS = 300
"""Enough that a command is given, and does what it shall, before the last one."""


class Lab:
    """Two machines, a config, and the commands that a user gives."""

    def __init__(self, folder: pathlib.Path, machines: list[hosts.Sshd]):
        self.machines, self.workdir, self.folder = machines, folder / "w", folder
        rows = [
            f"u{user},i{(user * 7 + at) % 40},{at}"
            for user in range(100)
            for at in range(5 + user % 9)
        ]
        (folder / "events.csv").write_text("\n".join(["user,item,time", *rows, ""]))
        self.config = folder / "shop.py"
        text = SHOP.format(path=folder / "events.csv")
        self.config.write_text(text.replace("steps=120", f"steps={STEPS}"))

    def podway(self, *arguments: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "podway.launch.cli", *arguments],
            env=os.environ | {"XDG_STATE_HOME": str(self.folder / "state")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def launch(self, *more: str) -> subprocess.Popen:
        target = [
            *("--target.hosts", *(each.host for each in self.machines)),
            *("--target.ssh-options", *hosts.options(self.folder)),
            *("--target.environment", *hosts.environment(), f"XLA_FLAGS={os.environ['XLA_FLAGS']}"),
            *("--target.python", sys.executable, "--target.port", str(hosts.free_port())),
            *("--target.heartbeat", "5", "--target.connect-timeout", "5"),
        ]
        return self.podway(
            *("launch", "machines", str(self.config), "--workdir", str(self.workdir)),
            *(*target, "--yes", *more),
        )

    def said(self, process: subprocess.Popen, code: int = 0) -> str:
        said, _ = process.communicate(timeout=400)
        assert process.returncode == code, said[-4000:]
        return said

    def state(self, number: int) -> pathlib.Path:
        (found,) = self.machines[number].home.glob(f".podway/launches/*/{number}")
        return found

    def kill(self, number: int) -> None:
        """The machine loses power."""
        self.machines[number].off()
        pid = json.loads((self.state(number) / "state.json").read_text())["pid"]
        for each in [pid, *hosts.children(pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)


@pytest.fixture
def lab(tmp_path):
    with hosts.machines(tmp_path, 2) as machines:
        yield Lab(tmp_path, machines)


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> list:
    """The losses of a launch that nothing disturbed, after which it was asked for again."""
    folder = tmp_path_factory.mktemp("straight")
    with hosts.machines(folder, 2) as machines:
        lab = Lab(folder, machines)
        said = lab.said(lab.launch())
        assert "checked: 2 hosts" in said
        assert "podway: train begins" in said
        assert "launch shop-" in said
        assert list((lab.workdir / "models" / "shop").glob("*/saved_model.pb"))
        assert re.search(r"(?m)^  goodput \d+\.\d % of .* in 1 session\b", said), said
        (name,) = re.findall(r"started (shop-\S+)", said)
        for number in range(2):
            record = json.loads((lab.state(number) / "state.json").read_text())
            assert record["state"] == "complete"
        assert f"{name} is complete" in lab.said(lab.launch())
        (row,) = json.loads(lab.said(lab.podway("jobs", "--json")))
        assert (row["launch"], row["phase"]) == (name, "complete")
        return losses(lab.workdir)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # where others keep the machine busy
def test_a_lost_machine_and_a_stop_change_nothing(lab, straight):
    process = lab.launch("--target.no-export")
    wait_for_step(lab.workdir, 10, process)
    lab.kill(1)
    done = max(step for step, _ in losses(lab.workdir))
    time.sleep(8)  # so that who follows sees it
    lab.machines[1].on()
    wait_for_step(lab.workdir, done + 20, process)

    name = lab.state(0).parent.name
    assert f"{name}: stopped; the same" in lab.said(lab.podway("stop", name))
    said = lab.said(process, exit_codes.PREEMPTED)
    lost = lab.machines[1].host
    assert re.search(rf"  {re.escape(lost)}: ssh: .*Connection refused", said), said
    assert f"  {lost} answers again" in said
    assert f"process 1 on {lost} is started again" in said
    assert "was stopped; the same command goes on" in said
    done = max(step for step, _ in losses(lab.workdir))
    assert done < STEPS
    for number in range(2):
        record = json.loads((lab.state(number) / "state.json").read_text())
        assert (record["state"], record["code"]) == ("stopped", exit_codes.PREEMPTED)

    process = lab.launch("--target.no-export")
    wait_for_step(lab.workdir, done + 10, process)
    process.send_signal(signal.SIGINT)
    assert f"no longer followed, {name} goes on" in lab.said(process)
    assert f"launch {name}: complete" in lab.said(lab.podway("logs", name))
    assert losses(lab.workdir) == straight
    (path,) = lab.workdir.glob("runs/shop/*/goodput.json")
    assert json.loads(path.read_text())["seconds"]["away"] > 0
