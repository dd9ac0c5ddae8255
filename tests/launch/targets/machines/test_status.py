import pytest

from podway.launch.targets.machines import status
from podway.launch.targets.machines.launch import processes
from podway.launch.targets.machines.ssh import UnreachableError
from podway.launch.targets.machines.target import Machines

PROCESSES = processes(Machines(hosts=("a", "b")))


def answer(state: str, stage: str = "train", *, alive=False, stop=False, **more) -> dict:
    record = {"state": state, "stage": stage, "attempt": "1", **more} if state else None
    return {"alive": alive, "stop": stop, "state": record, "log": "", "offset": 0}


RUNS = answer("running", alive=True)
WAITS = answer("running", "wait", alive=True)
LOST = answer("running")
TOLD = answer("preempted", code=42)
STOPPED = answer("stopped", code=42)
ENDS = answer("running", alive=True, stop=True)
DONE = answer("complete", "export")
TRAINED = answer("complete")
EXPORTS = answer("running", "export", alive=True)
CRASHED = answer("failed", code=70, said="ValueError: no")
REFUSED = answer("failed", code=1, said="trainer.steps is 0")
PEER = answer("failed", code=75, said="process 0 failed")
NEVER = answer("")
OFF = UnreachableError("b: no answer")


def of(*answers) -> status.Status:
    return status.of([status.seen(p, a) for p, a in zip(PROCESSES, answers, strict=True)])


@pytest.mark.parametrize(
    ("first", "second", "phase", "says"),
    [
        (NEVER, NEVER, "absent", ""),
        (RUNS, RUNS, "running", ""),
        (answer("running", "data", alive=True), WAITS, "running", ""),
        (RUNS, LOST, "running", "process 1 on b is gone"),
        (RUNS, TOLD, "running", "process 1 on b was told to end by its machine"),
        (RUNS, OFF, "running", "b: no answer"),
        (RUNS, NEVER, "running", ""),
        (ENDS, STOPPED, "stopping", ""),
        (STOPPED, STOPPED, "stopped", ""),
        (answer("running", stop=True), STOPPED, "stopped", ""),
        (EXPORTS, TRAINED, "running", ""),
        (EXPORTS, LOST, "running", ""),
        (DONE, TRAINED, "complete", ""),
        (DONE, OFF, "complete", "b: no answer"),
        (LOST, LOST, "lost", "process 0 on a is gone"),
        (LOST, TRAINED, "lost", "process 0 on a is gone"),
        (LOST, OFF, "unreachable", "process 0 on a is gone"),
        (RUNS, CRASHED, "running", "process 1 on b ended with 70 (an unexpected error"),
        (PEER, CRASHED, "failed", "process 1 on b ended with 70"),
        (CRASHED, STOPPED, "failed", "ValueError: no"),
        (REFUSED, PEER, "failed", "trainer.steps is 0"),
    ],
)
def test_the_phase_and_the_cause(first, second, phase, says):
    now = of(first, second)
    assert now.phase == phase
    assert says in (now.lines[0] if now.lines else "")
    assert bool(says) == bool(now.lines)


def test_how_many_run():
    assert str(of(RUNS, OFF)) == "running, train: 1 of 2 processes run"
    assert str(of(EXPORTS, TRAINED)) == "running, export: 1 of 1 processes run"
    assert str(of(DONE, TRAINED)) == "complete"
