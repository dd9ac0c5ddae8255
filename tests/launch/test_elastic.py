"""Runs that go on with fewer processes, and with all again."""

import dataclasses
import os
import pathlib
import random
import signal
import sys
import threading
import time

import pytest

from benchmarks import elastic as benchmark
from podway.framework import exit_codes
from podway.framework.config import Mesh, Trainer
from podway.framework.error import ConfigError
from podway.launch import cli, elastic, experiments, supervise
from podway.launch.elastic import Elastic
from podway.launch.supervise import End, Worker


def experiment(batch_size: int, **mesh: int):
    return dataclasses.replace(
        experiments.load("movielens_sasrec"),
        trainer=Trainer(batch_size=batch_size),
        mesh=Mesh(**mesh),
    )


@pytest.mark.parametrize(
    ("batch_size", "mesh", "devices", "found"),
    [
        (12, {}, 1, [4, 3, 2, 1]),
        (16, {}, 1, [4, 2, 1]),
        (16, {"fsdp": 2}, 1, [4, 2]),
        (24, {"fsdp": 2}, 2, [4, 3, 2, 1]),
        (16, {"tensor": 4}, 2, [4, 2]),
    ],
)
def test_the_numbers_of_processes_that_can_share_a_batch(batch_size, mesh, devices, found):
    assert elastic.sizes(experiment(batch_size, **mesh), 4, devices) == found


@pytest.mark.parametrize(
    ("batch_size", "mesh", "said"),
    [
        (14, {}, "--num-processes 4: trainer.batch_size = 14 is no multiple of 4"),
        (16, {"data": 4}, "--elastic: no number of processes below 4 .* asks for 4 devices; there"),
        (16, {"data": 2}, "leaves some of 4 devices out; set mesh.data to −1"),
        (16, {"fsdp": 4}, "--elastic: no number of processes below 4 can train it: with 3, mesh"),
    ],
)
def test_a_mesh_that_no_smaller_number_has_is_refused(batch_size, mesh, said):
    with pytest.raises(ConfigError, match=said):
        elastic.sizes(experiment(batch_size, **mesh), 4, 1)


def test_the_option_is_refused_where_nobody_runs_all(tmp_path, capsys):
    for options in ([], ["--coordinator", "h:1", "--num-processes", "2", "--process-id", "0"]):
        with pytest.raises(SystemExit):
            cli.main(
                ["train", "movielens_sasrec", "--workdir", str(tmp_path), "--elastic", *options]
            )
        assert "give --num-processes alone" in capsys.readouterr().err


@dataclasses.dataclass
class World:
    """What a crew sees: the last step saved, and who can be started."""

    saved: int = 0
    gone: set[int] = dataclasses.field(default_factory=set)

    def crew(self, sizes: list[int]) -> Elastic:
        return Elastic(
            lambda processes: [
                Worker(number, [str(each)]) for number, each in enumerate(processes)
            ],
            sizes,
            lambda: self.saved,
            lambda process: process not in self.gone,
        )


def running(crew: Elastic) -> list[int]:
    return [int(worker.command[0]) for worker in crew.workers()]


def fails(crew: Elastic, number: int, saved: int) -> str:
    return crew.failed(End(number, 70, "", number), saved)


@pytest.fixture(autouse=True)
def _look_always(monkeypatch):
    monkeypatch.setattr(elastic, "LOOK", 0.0)


def test_who_fails_twice_in_a_row_is_lost_and_tried_again_at_a_save():
    world = World(saved=10)
    crew = world.crew([4, 3, 2, 1])
    assert running(crew) == [0, 1, 2, 3]
    assert fails(crew, 1, 10) == ""
    assert running(crew) == [0, 1, 2, 3]
    assert "process 1 is lost (it failed 2 times in a row): 3 of 4 go on" in fails(crew, 1, 10)
    assert running(crew) == [0, 2, 3]
    assert crew.change() == ""
    world.saved = 20
    assert crew.change() == "step 20 is saved: from 3 to 4 of 4 processes"
    world.saved = 22  # as they were asked to end
    assert running(crew) == [0, 1, 2, 3]
    assert "process 1 is lost (it failed again)" in fails(crew, 1, 22)
    assert running(crew) == [0, 2, 3]
    world.saved = 30
    assert crew.change() == "", "after two saves, this time"
    world.saved = 40
    assert "from 3 to 4" in crew.change()
    assert running(crew) == [0, 1, 2, 3]
    world.saved = 50
    assert crew.change() == ""
    assert fails(crew, 1, 50) == "", "it has worked since"


def test_progress_between_two_failures_keeps_a_process():
    crew = World().crew([2, 1])
    for saved in range(1, 5):
        assert fails(crew, 0, saved) == ""


def test_a_number_that_does_not_divide_is_left_out():
    world = World()
    crew = world.crew([4, 2, 1])
    assert (fails(crew, 3, 0), "2 of 4 go on" in fails(crew, 3, 0)) == ("", True)
    assert running(crew) == [0, 1], "three are there, and cannot share the batch"
    assert fails(crew, 0, 0) == ""
    assert "process 0 is lost" in fails(crew, 0, 0)
    assert running(crew) == [1, 2]


def test_the_last_that_can_work_are_not_given_up():
    crew = World().crew([2, 1])
    assert fails(crew, 1, 0) == ""
    assert fails(crew, 1, 0) != ""
    for _ in range(5):
        assert fails(crew, 0, 0) == "", "so that it counts"


def test_who_is_known_to_be_gone_is_lost_at_once_and_comes_back_when_it_is_there():
    world = World()
    crew = world.crew([3, 2, 1])
    running(crew)
    world.gone = {0}
    assert "process 0 is lost (it is not there any more)" in fails(crew, 0, 0)
    assert running(crew) == [1, 2]
    for saved in (1, 2, 3):
        world.saved = saved
        assert crew.change() == ""
    world.gone = set()
    world.saved = 4
    assert "from 2 to 3" in crew.change()


PROGRAM = """
import os, pathlib, signal, sys, time
folder, process, number, count = pathlib.Path(sys.argv[1]), *map(int, sys.argv[2:])
if (folder / f"broken-{process}").exists():
    sys.exit(255)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(42))
if number == 0:
    with (folder / "starts").open("a") as file:
        file.write(f"{count} ")
time.sleep(1)  # as a restart takes: nobody saves before
while not (folder / "done").exists():
    if number == 0:
        step = int((folder / "step").read_text()) + 1
        (folder / "new").write_text(str(step))
        os.replace(folder / "new", folder / "step")
    time.sleep(0.05)
"""


def test_processes_that_are_lost_and_come_back(tmp_path):
    (tmp_path / "step").write_text("0")
    (tmp_path / "program.py").write_text(PROGRAM)
    pids = dict[int, int]()

    def step() -> int:
        return int((tmp_path / "step").read_text())

    def make(processes) -> list[Worker]:
        command = [sys.executable, "-S", str(tmp_path / "program.py"), str(tmp_path)]
        return [
            Worker(number, [*command, str(each), str(number), str(len(processes))])
            for number, each in enumerate(processes)
        ]

    def disturb() -> None:
        def until(condition) -> None:
            deadline = time.monotonic() + 30
            while not condition() and time.monotonic() < deadline:
                time.sleep(0.02)

        def started() -> str:
            path = tmp_path / "starts"
            return path.read_text() if path.exists() else ""

        until(lambda: step() > 2)
        (tmp_path / "broken-1").touch()
        victims = pathlib.Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
        for pid in victims.read_text().split():
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            if words[4:6] == ["1", "1"]:
                pids[1] = int(pid)
        os.kill(pids[1], signal.SIGKILL)
        until(lambda: started().split()[-1] == "2")
        (tmp_path / "broken-1").unlink()
        until(lambda: started().split()[-1] == "3")
        (tmp_path / "done").touch()

    helper = threading.Thread(target=disturb)
    helper.start()
    crew = Elastic(make, [3, 2, 1], step)
    supervise.run(crew, progress=step, restarts=3, pause=0.01)
    helper.join()
    assert pids
    counts = (tmp_path / "starts").read_text().split()
    assert counts[0] == counts[-1] == "3"
    assert "2" in counts


@pytest.mark.slow
@pytest.mark.parametrize(
    "kinds",
    [
        ["lost"],
        pytest.param(["kill", "hang", "preempt", "lost", "kill"], marks=pytest.mark.extensive),
    ],
)
def test_real_processes_recover(tmp_path, kinds):
    training = benchmark.Training(tmp_path, 2)
    try:
        assert training.until(lambda: bool(training.sessions())) is not None
        faults = benchmark.inject(training, kinds, random.Random(1))
        # Who was lost, and is hit before a save has shown that it works, is lost again for a while.
        whole = training.until(lambda: training.sessions()[-1]["processes"] == 2)
        assert training.end() == exit_codes.PREEMPTED
    finally:
        training.supervisor.kill()
    said = (tmp_path / "said.txt").read_text()
    assert all(fault.seconds is not None for fault in faults), said[-3000:]
    assert whole is not None, said[-3000:]
    assert "is lost (it failed 2 times in a row): 1 of 2 go on" in said
    assert "from 1 to 2 of 2 processes" in said
    counts = [session["processes"] for session in training.sessions()]
    assert counts[0] == counts[-1] == 2
    assert 1 in counts
    steps = training.steps()
    assert steps == list(range(benchmark.EVERY, steps[-1] + 1, benchmark.EVERY))
