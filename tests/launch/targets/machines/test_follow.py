import dataclasses
from collections.abc import Sequence

import pytest

from podway.launch.targets.error import LaunchError
from podway.launch.targets.machines import follow, status
from podway.launch.targets.machines.follow import Mending
from podway.launch.targets.machines.launch import Launch, Process
from tests.launch.targets.machines import test_status as states
from tests.launch.targets.machines.conftest import a_launch


@dataclasses.dataclass
class Scripted:
    """In Control's place: says what stands in a list, and notes what it is told to do."""

    looks: list[tuple]
    name: str = "x"
    done: list[tuple] = dataclasses.field(default_factory=list)

    def look(self, offset=0, *, of=0, tail=0) -> list[status.Seen]:
        answers = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        return [status.seen(p, a) for p, a in zip(states.PROCESSES, answers, strict=True)]

    def stop(self, numbers: Sequence[int]) -> None:
        self.done.append(("stop", *numbers))

    def start(self, launch: Launch, coordinator: str, attempt: str, numbers) -> None:
        self.done.append(("start", attempt, *numbers))

    def again(self, process: Process, skip: tuple[str, ...]) -> None:
        self.done.append(("again", process.number, *skip))


def followed(*looks: tuple, mend=True, **fields) -> tuple[status.Status, list[tuple], list[str]]:
    """The end, what was done, and what was said."""
    control, said = Scripted(list(looks)), []
    mending = Mending(control, a_launch(**fields), "a") if mend else None
    end = follow.until_over(control, mending, say=said.append, interval=0)
    return end, control.done, said


def test_what_changes_is_said_once():
    runs = (states.RUNS, states.RUNS)
    off = (states.RUNS, states.OFF)
    done = (states.DONE, states.TRAINED)
    end, acted, said = followed(runs, runs, off, off, runs, done)
    assert end.phase == "complete"
    assert acted == []
    assert said == [
        "launch x: running, train: 2 of 2 processes run",
        "launch x: running, train: 1 of 2 processes run",
        "  b: no answer",
        "launch x: running, train: 2 of 2 processes run",
        "  b answers again",
        "launch x: complete",
    ]


def test_what_process_0_writes_is_shown():
    wrote = states.RUNS | {"log": "step 1\nstep 2\n", "offset": 14}
    _, _, said = followed((wrote, states.RUNS), (states.DONE, states.TRAINED))
    assert said[:2] == ["step 1", "step 2"]


@pytest.mark.parametrize(
    ("gone", "act"),
    [
        (states.LOST, ("again", 1)),
        (states.TOLD, ("again", 1)),
        (states.NEVER, ("start", "1", 1)),  # its disk is new, too
    ],
)
def test_a_process_whose_machine_was_restarted_is_started_again(gone, act):
    _, acted, said = followed((states.RUNS, gone), (states.DONE, states.TRAINED))
    assert acted == [act]
    assert "process 1 on b is started again" in said


def test_all_machines_were_restarted():
    _, acted, _ = followed((states.LOST, states.LOST), (states.DONE, states.TRAINED))
    assert acted == [("again", 0), ("again", 1)]


def test_the_first_alone_goes_on_where_the_others_have_trained():
    """Training again, it would wait for them."""
    _, acted, _ = followed((states.LOST, states.TRAINED), (states.DONE, states.TRAINED))
    assert acted == [("again", 0, "data", "train")]


def test_at_the_end_the_others_are_not_needed():
    _, acted, _ = followed((states.EXPORTS, states.LOST), (states.DONE, states.LOST))
    assert acted == []


def test_a_machine_that_loses_its_process_each_time():
    with pytest.raises(LaunchError, match="process 1 on b was started again 2 times, and is gone"):
        followed((states.RUNS, states.LOST), max_restarts=2)


@pytest.mark.parametrize("first", [states.RUNS, states.WAITS])
def test_who_waits_for_one_that_has_failed_is_ended(first):
    end, acted, said = followed((first, states.REFUSED), (states.STOPPED, states.REFUSED))
    assert acted == [("stop", 0)]
    assert end.phase == "failed"
    assert any("process 1 on b ended with 1" in line and "steps is 0" in line for line in said)


def test_nothing_is_mended_that_was_asked_to_end():
    end, acted, _ = followed((states.ENDS, states.LOST), (states.STOPPED, states.STOPPED))
    assert acted == []
    assert end.phase == "stopped"


def test_who_only_reads_mends_nothing():
    end, acted, said = followed((states.LOST, states.LOST), mend=False)
    assert end.phase == "lost"
    assert acted == []
    assert any("process 0 on a is gone" in line for line in said)
