"""Real processes that train one run: alike, killed, hung, stopped, resumed by others."""

import dataclasses
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time

import numpy as np
import pytest
from etils import epath

from podway.framework.devices import compilation
from podway.framework.exit_codes import CRASHED, LOST, PREEMPTED, REFUSED
from podway.framework.runs import goodput, lock
from podway.framework.runs.goodput import PHASES
from podway.framework.training.heartbeat import Beat, Seen, judge
from tests.framework.training.test_loop import (
    final_parameters,
    finish,
    losses,
    start,
    wait_for_steps,
)
from tests.framework.training.test_patience import NEVER

SILENCE = 8
"""Seconds."""
COMPILED = tempfile.TemporaryDirectory()
"""Programs that the tests share, so that each need not compile them."""
STOPPED = 30
"""Seconds in which all processes must have ended after one was killed."""


def together(dataset, workdir, processes, devices, each=None, **options) -> list[subprocess.Popen]:
    """Starts the processes of a run; `each`: further options by process."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    started = []
    for process in range(processes):
        cluster = {
            "coordinator": f"localhost:{port}",
            "processes": processes,
            "process": process,
            "silence": SILENCE,
            **options.get("cluster", {}),
        }
        own = {"compiled": COMPILED.name, **options, "cluster": cluster}
        own |= (each or {}).get(process, {})
        started.append(start(dataset, workdir, devices=devices, **own))
    return started


def alone(dataset, workdir, devices, mesh) -> dict:
    """Trains with one process, to its end."""
    return finish(start(dataset, workdir, devices, mesh=mesh, compiled=COMPILED.name))


def ends(processes: list[subprocess.Popen], timeout: float) -> list[tuple[int, str]]:
    """Exit code and stderr of each, once all have ended."""
    deadline = time.monotonic() + timeout
    found = []
    try:
        for process in processes:
            _, err = process.communicate(timeout=max(deadline - time.monotonic(), 0.1))
            found.append((process.returncode, err))
    finally:
        for process in processes:
            process.kill()
    return found


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    """A run of two processes with two devices each, which nothing disturbed."""
    workdir = tmp_path_factory.mktemp("whole")
    results = [finish(process) for process in together(dataset, workdir, 2, 2, mesh=MESH)]
    return workdir, results


MESH = {"data": 2, "fsdp": 2}


def validations(workdir: pathlib.Path) -> list[dict]:
    (path,) = workdir.glob("runs/walks/*/metrics.jsonl")
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [record for record in records if "validation/ndcg@5" in record]


def assert_equal_runs(ours: pathlib.Path, theirs: pathlib.Path) -> None:
    assert losses(ours) == losses(theirs)
    one, other = final_parameters(ours, 20), final_parameters(theirs, 20)
    for path in other:
        np.testing.assert_array_equal(one[path], other[path])
    assert validations(ours) == validations(theirs)


def test_two_processes_train_as_one(dataset, whole, tmp_path):
    workdir, results = whole
    assert all(result["finished"] for result in results)
    alone(dataset, tmp_path, devices=4, mesh=MESH)
    np.testing.assert_allclose(losses(workdir), losses(tmp_path), atol=1e-5, rtol=0)
    for ours, theirs in zip(validations(workdir), validations(tmp_path), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)
    assert len(losses(workdir)) == 20, "one process wrote each record once"
    assert [path.name for path in workdir.glob("runs/walks/*/manifest.json")] == ["manifest.json"]


def test_all_end_when_one_is_killed_and_go_on_bit_by_bit(dataset, whole, tmp_path):
    processes = together(dataset, tmp_path, 2, 2, mesh=MESH, pause=0.1)
    wait_for_steps(tmp_path, 9, processes[0])
    processes[1].send_signal(signal.SIGKILL)
    code, error = ends(processes, STOPPED)[0]
    assert code == LOST
    assert f"pid {processes[1].pid}) is dead or hangs: it was last heard of" in error
    for process in together(dataset, tmp_path, 2, 2, mesh=MESH):
        assert finish(process)["finished"]
    assert_equal_runs(tmp_path, whole[0])
    (path,) = tmp_path.glob("runs/walks/*/goodput.json")
    record = goodput.read(path)
    assert record is not None
    assert record["sessions"] == 2
    assert record["seconds"]["restart"] > 0


def test_all_end_when_the_coordinator_is_killed(dataset, tmp_path):
    processes = together(dataset, tmp_path, 2, 1, pause=0.1)
    wait_for_steps(tmp_path, 4, processes[0])
    processes[0].send_signal(signal.SIGKILL)
    code, error = ends(processes, STOPPED)[1]
    # JAX ends a process at once whose coordination service is gone, and says what it was.
    assert code in (-signal.SIGABRT, LOST)
    assert "leader task" in error or "process 0, the coordinator" in error


@pytest.mark.slow
def test_a_stopped_process_is_named(dataset, tmp_path):
    processes = together(dataset, tmp_path, 2, 1, pause=0.1)
    wait_for_steps(tmp_path, 4, processes[0])
    processes[1].send_signal(signal.SIGSTOP)
    try:
        code, error = ends(processes[:1], STOPPED)[0]
    finally:
        processes[1].kill()
    assert code == LOST
    assert f"pid {processes[1].pid}) is dead or hangs" in error


def test_a_process_that_lives_but_does_not_get_on_is_named(dataset, tmp_path):
    cluster = {"standstill": 6}
    processes = together(dataset, tmp_path, 2, 1, each={1: {"hang": 7}}, cluster=cluster)
    for code, error in ends(processes, 120):
        assert code == LOST
        assert f"process 1 ({socket.gethostname()}, pid {processes[1].pid}) hangs: for" in error
        assert "in phase 'input' after step 7" in error


@pytest.mark.parametrize("broken", [1, pytest.param(0, marks=pytest.mark.slow)])
def test_an_error_in_one_process_is_told_by_the_others(dataset, tmp_path, broken):
    processes = together(dataset, tmp_path, 2, 1, each={broken: {"break": 7}})
    ended = ends(processes, 120)
    code, error = ended[broken]
    assert code == CRASHED
    assert "the disk is broken" in error
    code, told = ended[1 - broken]
    assert code == LOST
    assert re.search(rf"process {broken} \(.*\) failed: .*the disk is broken", told)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_all_alike(dataset, tmp_path):
    for code, error in ends(together(dataset, tmp_path, 2, 1, rate=1e30), 120):
        assert code == REFUSED
        assert re.search(r"error: the loss of step \d+ is (nan|inf), on examples", error)


def test_processes_that_disagree_are_named(dataset, tmp_path):
    processes = together(dataset, tmp_path, 2, 1, each={1: {"trainer": {"seed": 4}}})
    for code, error in ends(processes, 120):
        assert code == REFUSED
        assert f"process 1 ({socket.gethostname()}, pid {processes[1].pid}): " in error
        assert "trainer.seed is 4 here and 0 there" in error


def test_sigterm_to_one_makes_all_save_the_same_step_and_another_mesh_goes_on(
    dataset, whole, tmp_path
):
    processes = together(dataset, tmp_path, 2, 2, mesh=MESH, pause=0.1)
    wait_for_steps(tmp_path, 7, processes[0])
    processes[1].send_signal(signal.SIGTERM)
    results = [finish(process) for process in processes]
    assert [result["finished"] for result in results] == [False, False]
    (step,) = {result["step"] for result in results}
    assert 7 <= step < 20
    (checkpoints,) = tmp_path.glob("runs/walks/*/checkpoints")
    assert (checkpoints / str(step)).is_dir()
    # One process, another mesh: the same global batches.
    assert alone(dataset, tmp_path, devices=2, mesh={"fsdp": 2})["finished"]
    np.testing.assert_allclose(losses(tmp_path), losses(whole[0]), atol=1e-5, rtol=0)
    (path,) = tmp_path.glob("runs/walks/*/goodput.json")
    record = goodput.read(path)
    assert record is not None
    assert record["steps_redone"] == 0


def test_sigterm_before_the_first_step_ends_all_with_the_code_of_the_preempted(dataset, tmp_path):
    processes = together(dataset, tmp_path, 2, 1, prepare=120)
    ready = [tmp_path / f"preparing {process.pid}" for process in processes]
    while not all(path.exists() for path in ready):
        assert all(process.poll() is None for process in processes)
        time.sleep(0.05)
    processes[1].send_signal(signal.SIGTERM)
    for code, error in ends(processes, STOPPED):
        assert code == PREEMPTED, error
        assert "asked to end (SIGTERM)" in error


def test_they_stop_early_together_and_process_0_has_the_lock(dataset, tmp_path):
    processes = together(dataset, tmp_path, 2, 1, trainer=NEVER, pause=0.2)
    run = holder = None
    while holder is None:
        assert processes[0].poll() is None, processes[0].communicate()[1][-3000:]
        for file in tmp_path.glob("runs/walks/_lock-*.json"):
            run = epath.Path(file.parent / file.stem.removeprefix("_lock-"))
            holder = lock.holder_of(run)
    assert holder.pid == processes[0].pid
    results = [finish(process) for process in processes]
    assert [(result["step"], result["finished"]) for result in results] == [(6, True)] * 2
    assert run is not None
    assert lock.holder_of(run) is None
    (path,) = tmp_path.glob("runs/walks/*/manifest.json")
    assert json.loads(path.read_text())["details"]["ended"].startswith("stopped early at step 6")


FOUR = {"data": 4, "fsdp": 1}


@pytest.fixture(scope="module")
def four(dataset, tmp_path_factory):
    """The losses of a run of four processes, which nothing disturbed."""
    workdir = tmp_path_factory.mktemp("four")
    for process in together(dataset, workdir, 4, 1, mesh=FOUR):
        finish(process)
    return losses(workdir)


@pytest.mark.slow
@pytest.mark.parametrize(
    "victim", [0, *(pytest.param(each, marks=pytest.mark.extensive) for each in (1, 2)), 3]
)
def test_four_processes_killed_and_resumed_by_two(dataset, four, tmp_path, victim):
    processes = together(dataset, tmp_path, 4, 1, mesh=FOUR, pause=0.1)
    wait_for_steps(tmp_path, 9, processes[0])
    processes[victim].send_signal(signal.SIGKILL)
    assert all(code != 0 for code, _ in ends(processes, STOPPED))
    for process in together(dataset, tmp_path, 2, 2, mesh=FOUR):
        finish(process)
    np.testing.assert_allclose(losses(tmp_path), four, atol=1e-5, rtol=0)


def beats(*stands: tuple[int, str], heard: float = 100, moved: float = 100) -> dict[int, Seen]:
    return {
        number: Seen(Beat(1, "host", 10 + number, step, phase), heard, moved)
        for number, (step, phase) in enumerate(stands)
    }


def test_judging_names_who_is_silent_who_failed_and_who_is_behind():
    limits = {"silence": 10, "standstill": 60}
    seen = beats((5, "step"), (5, "step"), (5, "input"))
    assert judge(seen, 105, **limits) is None
    late = seen | {1: dataclasses.replace(seen[1], heard=80.0)}
    assert "process 1 (host, pid 11) is dead or hangs: it was last heard of 25 s" in str(
        judge(late, 105, **limits)
    )
    failed = dataclasses.replace(seen[2].beat, failure="no space left", code=REFUSED)
    verdict = judge(seen | {2: dataclasses.replace(seen[2], beat=failed)}, 105, **limits)
    assert verdict
    assert verdict.code == REFUSED
    assert verdict.message == "process 2 (host, pid 12) failed: no space left"
    for code, told in ((CRASHED, LOST), (LOST, LOST), (PREEMPTED, PREEMPTED)):
        failed = dataclasses.replace(failed, code=code)
        verdict = judge(seen | {2: dataclasses.replace(seen[2], beat=failed)}, 105, **limits)
        assert verdict
        assert verdict.code == told

    alive = {number: dataclasses.replace(each, heard=170.0) for number, each in seen.items()}
    verdict = judge(alive, 170, **limits)
    assert verdict
    assert verdict.message.startswith("process 2 (host, pid 12) hangs: for 70 s")
    assert "process 1" not in verdict.message
    moving = alive | {0: dataclasses.replace(alive[0], moved=165.0)}
    assert judge(moving, 170, **limits) is None, "the others wait for one that gets on"
    assert judge(beats((5, "compile"), (5, "other"), heard=170), 170, **limits) is None


def test_lost_work_counts_as_restart(tmp_path):
    clock = goodput.Clock()
    path = epath.Path(tmp_path) / "goodput.json"
    ledger = goodput.Ledger.open(path, clock, 0, 0)
    clock._seconds |= {"compile": 5.0, "step": 10.0}
    ledger.write(10, saved=True)
    clock._seconds["step"] += 7.0
    ledger.write(17)

    again = goodput.Ledger.open(path, goodput.Clock(), 10, 15)
    assert (again.sessions, again.steps_redone) == (2, 7)
    seconds = again.seconds()
    assert seconds["step"] == pytest.approx(10, abs=0.1)
    assert seconds["restart"] == pytest.approx(7, abs=0.1)
    assert seconds["compile"] == pytest.approx(5, abs=0.1)
    assert set(seconds) == set(PHASES)
    assert goodput.percent(seconds) == pytest.approx(100 * 10 / 22, abs=1)
    whole = goodput.Ledger.open(path, goodput.Clock(), 0, 0)
    assert whole.seconds()["step"] == 0, "all is lost without a checkpoint"


def test_deterministic_mode_keeps_other_flags(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    compilation.make_deterministic()
    compilation.make_deterministic()
    flags = os.environ["XLA_FLAGS"].split()
    assert sorted(flags) == [
        "--xla_force_host_platform_device_count=2",
        "--xla_gpu_deterministic_ops=true",
    ]
