import dataclasses
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import time

import jax
import numpy as np
import pytest
from etils import epath

from podway.framework import artifact
from podway.framework.config import Component
from podway.framework.devices import platforms
from podway.framework.error import ConfigError
from podway.framework.report import artefacts
from podway.framework.runs import goodput, run
from podway.framework.runs.checkpoint import CheckpointError, load_parameters
from podway.framework.runs.profiling import Span
from podway.framework.runs.telemetry import StepFailed, check_parameters
from podway.framework.training import loop, program
from tests import forked, xla
from tests.framework.conftest import write_dataset
from tests.framework.experiments import walks

ROOT = pathlib.Path(__file__).parents[3]


def start(dataset, workdir, devices=1, **options) -> subprocess.Popen:
    environment = os.environ | {
        "XLA_FLAGS": xla.flags(devices),
        "JAX_PLATFORMS": "cpu",
    }
    arguments = str(dataset.directory), str(workdir), json.dumps(options)
    return forked.Popen(
        ("tests.framework.worker", *arguments),
        forked.TRAINING,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen) -> dict:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err[-3000:]
    return json.loads(out.splitlines()[-1])


def losses(workdir: pathlib.Path) -> list[float]:
    (path,) = workdir.glob("runs/walks/*/metrics.jsonl")
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [record["loss"] for record in records if "loss" in record]


def final_parameters(workdir: pathlib.Path, step: int) -> dict[str, np.ndarray]:
    (path,) = workdir.glob("runs/walks/*/checkpoints")
    return load_parameters(path, step)


def wait_for_steps(workdir: pathlib.Path, steps: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        found = list(workdir.glob("runs/walks/*/metrics.jsonl"))
        if found and found[0].read_text().count('"loss"') >= steps:
            return
        time.sleep(0.02)
    raise AssertionError(f"no {steps} steps: {process.communicate()[1][-3000:]}")


@pytest.fixture(scope="module")
def straight(dataset, tmp_path_factory):
    """A run that nothing disturbed, on one device."""
    workdir = tmp_path_factory.mktemp("straight")
    result = finish(start(dataset, workdir))
    return workdir, result


def test_a_run_learns_and_is_committed(straight):
    workdir, result = straight
    assert result["finished"]
    manifest = artifact.read(result["directory"], "run")
    assert manifest.inputs == {"dataset": "walks-1"}
    values = losses(workdir)
    assert len(values) == 20
    assert values[-1] < 0.85 * values[0]
    assert artefacts.run(result["directory"]).state == "finished"
    assert not {"report.html", "ended.json"} & {file.path for file in manifest.files}
    assert (pathlib.Path(result["directory"]) / "report.html").read_text().count("<svg") >= 10
    experiment, _, parameters = run.load(result["directory"])
    assert experiment == walks()
    selected = manifest.details["selected_step"]
    np.testing.assert_array_equal(
        parameters["item/embedding"], final_parameters(workdir, selected)["item/embedding"]
    )


@pytest.mark.parametrize("mesh", [{"data": 8}, {"data": 2, "fsdp": 4}, {"data": 1, "fsdp": 8}])
def test_eight_devices_give_the_losses_of_one(dataset, straight, tmp_path, mesh):
    finish(start(dataset, tmp_path, devices=8, mesh=mesh))
    np.testing.assert_allclose(losses(tmp_path), losses(straight[0]), atol=1e-5, rtol=0)


def test_killed_and_resumed_equals_never_killed(dataset, straight, tmp_path):
    process = start(dataset, tmp_path, pause=0.05)
    wait_for_steps(tmp_path, random.randint(6, 15), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    result = finish(start(dataset, tmp_path))
    assert result["finished"]
    assert losses(tmp_path) == losses(straight[0])
    ours, theirs = final_parameters(tmp_path, 20), final_parameters(straight[0], 20)
    for path in theirs:
        np.testing.assert_array_equal(ours[path], theirs[path])


def test_a_damaged_checkpoint_is_passed_over_and_nothing_is_different(dataset, straight, tmp_path):
    shutil.copytree(straight[0], tmp_path, dirs_exist_ok=True)
    (directory,) = (each.parent for each in tmp_path.glob("runs/walks/*/checkpoints"))
    (directory / "manifest.json").unlink()
    newest, before = sorted(
        (int(each.name) for each in (directory / "checkpoints").iterdir() if each.name.isdigit()),
        reverse=True,
    )[:2]
    for path in (directory / "checkpoints" / str(newest) / "state").rglob("d/*"):
        path.write_bytes(path.read_bytes()[:-5])
    process = start(dataset, tmp_path)
    out, said = process.communicate(timeout=300)
    assert json.loads(out.splitlines()[-1])["finished"], said[-3000:]
    assert f"checkpoints/{newest} is incomplete or damaged" in said
    assert f"kept as damaged-{newest}" in said
    assert losses(tmp_path) == losses(straight[0])
    ours, theirs = (final_parameters(each, 20) for each in (tmp_path, straight[0]))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert before < newest


def test_sigterm_saves_and_ends_well_and_two_devices_go_on_where_eight_stopped(
    dataset, straight, tmp_path
):
    process = start(dataset, tmp_path, devices=8, mesh={"data": 4, "fsdp": 2}, pause=0.05)
    wait_for_steps(tmp_path, 7, process)
    process.send_signal(signal.SIGTERM)
    assert not finish(process)["finished"]
    done = len(losses(tmp_path))
    assert done < 20
    (checkpoints,) = tmp_path.glob("runs/walks/*/checkpoints")
    assert (checkpoints / str(done)).is_dir(), "saved at the very step that it stopped at"
    assert artefacts.run(checkpoints.parent).state == "stopped"
    assert f"{done} of 20" in (checkpoints.parent / "report.html").read_text()
    result = finish(start(dataset, tmp_path, devices=2, mesh={"data": 1, "fsdp": 2}))
    assert result["finished"]
    np.testing.assert_allclose(losses(tmp_path), losses(straight[0]), atol=1e-5, rtol=0)


def test_a_loss_that_is_not_finite_stops_the_run(dataset, tmp_path):
    from podway.framework.training.optimizer import AdamW

    experiment = walks(steps=20, batch_size=8)
    object.__setattr__(experiment, "optimizer", AdamW(learning_rate=1e30, warmup_steps=0))
    with pytest.raises(loop.TrainingError, match=r"loss of step \d+ is (nan|inf), on examples"):
        loop.train(experiment, dataset, tmp_path)
    (directory,) = tmp_path.glob("runs/walks/*")
    assert not artifact.exists(directory)
    assert artefacts.run(directory).state == "failed"
    assert re.search(
        r"failed.*the loss of step \d+ is", (directory / "report.html").read_text(), re.S
    )


def test_what_a_last_step_made_not_finite_is_neither_saved_nor_best(dataset, tmp_path):
    """The loss of a step is of the parameters before it: the last step's is finite here."""
    from podway.framework.training.optimizer import AdamW

    experiment = walks(steps=1, batch_size=8, evaluate_every=1, checkpoint_every=1)
    object.__setattr__(experiment, "optimizer", AdamW(learning_rate=1e38, warmup_steps=0))
    with pytest.raises(loop.TrainingError, match=r"after step 1 .* not finite"):
        loop.train(experiment, dataset, tmp_path)
    (directory,) = tmp_path.glob("runs/walks/*")
    assert not artifact.exists(directory)
    assert not [each for each in (directory / "checkpoints").glob("*") if each.name.isdigit()]
    for line in (directory / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)


def test_a_parameter_that_is_not_finite_is_named():
    with pytest.raises(StepFailed, match=r"after step 7 .*: 2 of a, 1 of ema b"):
        check_parameters(7, {"a": 2, "ema b": 1, "c": 0})
    check_parameters(7, {"a": 0})


def test_a_batch_that_does_not_divide_and_missing_devices_are_errors(dataset, tmp_path):
    import jax

    count = jax.device_count()
    from podway.framework.config import Mesh

    wide = dataclasses.replace(walks(), mesh=Mesh(data=count + 1))
    with pytest.raises(ConfigError, match=f"there are {count}"):
        loop.train(wide, dataset, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_cpu_does_not_stand_in_for_what_was_asked_for(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "tpu,cpu")
    with pytest.raises(platforms.PlatformError, match="JAX_PLATFORMS asks for tpu, and "):
        loop.train(walks(), dataset, tmp_path)


def test_a_checkpoint_of_another_experiment_is_refused(dataset, straight, tmp_path):
    """A run's folder under another experiment's name: moved by hand, or a collision."""
    import shutil

    target = run.directory(walks(steps=30), run.inputs(dataset), tmp_path)
    shutil.copytree(straight[1]["directory"], target)
    (target / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match=r"trainer\.steps is 30 here and 20 there"):
        loop.train(walks(steps=30), dataset, tmp_path)


def test_bf16_computes_in_bf16_and_keeps_parameters_in_f32(dataset, straight, tmp_path):
    finish(start(dataset, tmp_path, trainer={"precision": "bf16"}))
    half, full = losses(tmp_path), losses(straight[0])
    assert half != full, "the policy changes the arithmetic"
    np.testing.assert_allclose(half, full, rtol=0.03)
    parameters = final_parameters(tmp_path, 20)
    assert {array.dtype for array in parameters.values()} == {np.dtype("float32")}


def test_a_mixture_is_a_run_of_its_own_on_both_datasets(dataset, histories, tmp_path):
    # Backwards through the items: what the first dataset alone would never teach.
    other = write_dataset(epath.Path(tmp_path) / "other", [items[::-1] for items in histories])
    alone = walks(steps=4, evaluate_every=4)
    component = Component(dataclasses.replace(alone.data, name="other"), weight=3.0)
    mixed = dataclasses.replace(alone, mixture=(component,))
    runs = [
        loop.train(alone, dataset, tmp_path / "alone"),
        loop.train(mixed, dataset, tmp_path / "mixed", [other]),
    ]
    assert set(artifact.read(runs[1].directory, "run").inputs) == {"dataset", "mixture 0"}
    assert runs[0].directory.name != runs[1].directory.name
    assert losses(tmp_path / "alone") != losses(tmp_path / "mixed")


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("embedding/overflow", "in step 7, 3 ids .* had no room in an exchange"),
        ("embedding/invalid", "in step 7, 3 ids lie outside their sparse tables"),
    ],
)
def test_rows_that_got_lost_stop_the_run(dataset, tmp_path, monkeypatch, metric, message):
    make = program.make_step

    def losing(*arguments):
        def lossy(state, batch):
            new, metrics = make(*arguments)(state, batch)
            return new, metrics | {metric: 3 * (state["step"] == 6)}

        return lossy

    monkeypatch.setattr(program, "make_step", losing)
    with pytest.raises(loop.TrainingError, match=f"{message}.* on examples 96 to 111"):
        loop.train(walks(steps=20), dataset, tmp_path)
    (checkpoints,) = tmp_path.glob("runs/walks/*/checkpoints")
    assert [path.name for path in checkpoints.iterdir()] == ["5"], "nothing is saved after it"


def test_no_tracer_leaks(dataset, tmp_path):
    import jax

    with jax.checking_leaks():
        assert loop.train(walks(steps=2, evaluate_every=1), dataset, tmp_path).finished


def test_a_profile_of_some_steps(dataset, tmp_path):
    outcome = loop.train(walks(steps=4), dataset, tmp_path, profile=Span.parse("2:3"))
    (trace,) = outcome.directory.glob("profile/plugins/profile/*/*.xplane.pb")
    content = trace.read_bytes()
    # The steps' annotations stand in the trace.
    assert b"train" in content
    assert b"step_num" in content
    assert len(content) > 10_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3", "give two steps from 1"),
        ("4:3", "give two steps from 1"),
        ("0:3", "give two steps from 1"),
        ("9:12", "the steps left are 1 to 4"),
    ],
)
def test_steps_that_cannot_be_profiled(dataset, tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        loop.train(walks(steps=4), dataset, tmp_path, profile=Span.parse(text))


def test_a_second_start_finds_its_programs_compiled(dataset, tmp_path):
    compiled = tmp_path / "compiled"
    runs = []
    for number in range(2):
        result = finish(start(dataset, tmp_path / f"{number}", compiled=str(compiled)))
        runs.append((result, {path.name for path in compiled.glob("*-cache")}))
    steps = [{name for name in files if name.startswith("jit_step-")} for _, files in runs]
    assert len(steps[0]) == 1
    assert steps[0] == steps[1]
    assert runs[0][0]["programs"] == 0 < runs[1][0]["programs"]
    assert losses(tmp_path / "0") == losses(tmp_path / "1")


def test_the_time_of_a_run_is_accounted_for(straight):
    directory = epath.Path(straight[1]["directory"])
    record = goodput.read(directory / "goodput.json")
    assert record is not None
    assert record["sessions"] == 1
    assert record["steps_redone"] == 0
    assert record["step"] == 20
    for phase in ("compile", "step", "input", "evaluate", "checkpoint", "other"):
        assert record["seconds"][phase] > 0
    assert record["goodput_percent"] == pytest.approx(goodput.percent(record["seconds"]))
    text = (directory / "report.html").read_text()
    assert f"Goodput {record['goodput_percent']:.1f} %" in text
    stalls = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    assert sum("checkpoint_stall_seconds" in stall for stall in stalls) == 4
