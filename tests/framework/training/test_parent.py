"""Runs that go on from where another one ended."""

import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pytest
from etils import epath

from podway.framework import artifact
from podway.framework.error import ConfigError
from podway.framework.runs import checkpoint, run
from podway.framework.runs.checkpoint import CheckpointError
from podway.framework.training import loop, parent
from tests.framework.conftest import write_dataset
from tests.framework.experiments import breaking, changed

CONSTANT = {"schedule": "constant", "learning_rate": 1e-2, "warmup_steps": 5}
SHORT = {"steps": 10, "evaluate_every": 5, "ema": 0.9}


def chosen(**trainer):
    return changed({"optimizer": CONSTANT, "trainer": SHORT | trainer})


def records(directory, name: str = "loss") -> dict[int, float]:
    lines = (epath.Path(directory) / "metrics.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return {each["step"]: each[name] for each in found if name in each}


def last_state(directory, step: int) -> dict[str, np.ndarray]:
    return checkpoint.load(epath.Path(directory) / "checkpoints", step, ("",))


@pytest.fixture(scope="module")
def workdir(dataset, tmp_path_factory):
    """With a run of 10 steps, which must not be changed."""
    path = tmp_path_factory.mktemp("parent")
    return path, loop.train(chosen(), dataset, path).directory


@pytest.fixture(scope="module")
def straight(dataset, tmp_path_factory):
    """A run of 20 steps that never ended in between."""
    return loop.train(chosen(steps=20), dataset, tmp_path_factory.mktemp("straight")).directory


def test_ten_steps_and_ten_more_are_twenty(dataset, workdir, straight):
    path, first = workdir
    files = list(pathlib.Path(first).rglob("*"))
    before = [file.stat().st_mtime for file in files]
    experiment = parent.longer(chosen(), first, 10)
    assert (experiment.trainer.steps, experiment.trainer.parent) == (20, first.name)
    outcome = loop.train(experiment, dataset, path)
    assert (outcome.step, outcome.finished) == (20, True)
    ours, theirs = last_state(outcome.directory, 20), last_state(straight, 20)
    assert set(ours) == set(theirs)
    for name in theirs:
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-6, rtol=0, err_msg=name)
    assert records(outcome.directory) == pytest.approx(records(straight), abs=1e-6)
    assert records(outcome.directory, "validation/ndcg@5") == pytest.approx(
        records(straight, "validation/ndcg@5"), abs=1e-6
    )
    manifest = artifact.read(outcome.directory, "run")
    assert manifest.inputs == {"dataset": "walks-1", "parent": first.name}
    assert manifest.details["steps"] == 20
    assert outcome.directory != first
    assert files == list(pathlib.Path(first).rglob("*")), "it is left as it was"
    assert before == [file.stat().st_mtime for file in files]

    further = parent.longer(experiment, outcome.directory, 5)
    assert (further.trainer.steps, further.trainer.parent) == (25, outcome.directory.name)


def test_it_is_resumed_without_its_parent(dataset, workdir, straight, tmp_path, monkeypatch):
    _, first = workdir
    copy = tmp_path / "runs" / "walks" / first.name
    shutil.copytree(first, copy)
    trainer = {"steps": 20, "parent": first.name, "checkpoint_every": 2}
    with breaking(monkeypatch, 15), pytest.raises(OSError, match="the disk is broken"):
        loop.train(chosen(**trainer), dataset, tmp_path)
    shutil.rmtree(copy)
    outcome = loop.train(chosen(**trainer), dataset, tmp_path)
    assert (outcome.step, outcome.finished) == (20, True)
    assert records(outcome.directory) == pytest.approx(records(straight), abs=1e-6)


def test_the_optimizers_rate_may_change_and_its_kind_may_not(dataset, workdir):
    path, first = workdir
    longer = parent.longer(chosen(), first, 1)
    slower = dataclasses.replace(longer.optimizer, learning_rate=1e-3)
    assert loop.train(dataclasses.replace(longer, optimizer=slower), dataset, path).finished
    lion = changed({"optimizer": {"type": "Lion"}}).optimizer
    with pytest.raises(CheckpointError, match="does not fit: it has optimizer"):
        loop.train(dataclasses.replace(longer, optimizer=lion), dataset, path)


def test_what_cannot_go_on_is_named(dataset, workdir, tmp_path, histories):
    path, first = workdir
    longer = parent.longer(chosen(), first, 10)

    def refused(message: str, experiment=longer, data=dataset, where=path) -> None:
        with pytest.raises(ConfigError, match=message):
            loop.train(experiment, data, where)

    def with_trainer(**changes):
        trainer = dataclasses.replace(longer.trainer, **changes)
        return dataclasses.replace(longer, trainer=trainer)

    refused("is no finished run", where=tmp_path)
    refused("trainer.steps is 10, and the run .* has done 10", with_trainer(steps=10))
    refused("trainer.seed is 3 here and 0 there", with_trainer(seed=3))
    wider = dataclasses.replace(longer, model=dataclasses.replace(longer.model, dropout=0.5))
    refused("of another experiment: model.dropout is 0.5 here", wider)
    with pytest.raises(ConfigError, match="give the version of a run"):
        with_trainer(parent="runs/x")
    copy = tmp_path / "runs" / "walks" / first.name
    shutil.copytree(first, copy)
    shutil.rmtree(copy / "checkpoints" / "10")
    refused("the checkpoint of step 10, the last one of .*, is gone", where=tmp_path)
    other = write_dataset(epath.Path(tmp_path) / "other", histories[1:])
    object.__setattr__(other.manifest, "version", "walks-2")
    refused("is of another dataset: dataset is 'walks-2' here", data=other)
    assert run.latest(path / "runs" / "walks") is not None


def test_a_run_that_stopped_early_is_given_new_patience(dataset, tmp_path):
    stopping = chosen(steps=20, evaluate_every=2, checkpoint_every=2, patience=1, min_delta=10.0)
    first = loop.train(stopping, dataset, tmp_path)
    assert first.step == 4
    longer = parent.longer(stopping, first.directory, 4)
    assert longer.trainer.steps == 8
    second = loop.train(longer, dataset, tmp_path)
    assert (second.step, second.finished) == (6, True), "its parent's last evaluation counts as one"
    assert second.early.startswith("stopped early at step 6 of 8")
