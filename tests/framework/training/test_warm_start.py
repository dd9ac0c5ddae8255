"""Parameters of another run: which fit, and what is said of the others."""

import dataclasses

import jax
import numpy as np
import pytest

from podway.framework.config import Mesh, WarmStart
from podway.framework.devices import mesh
from podway.framework.embedding.table import Embedding
from podway.framework.models.parts.item_losses import SampledSoftmax
from podway.framework.runs import run
from podway.framework.schema.schema import Schema
from podway.framework.training import loop, warm_start
from podway.framework.training.program import build_program
from tests.framework.experiments import walks


@pytest.fixture(scope="module")
def earlier(dataset, tmp_path_factory):
    """A short run: its folder and its selected parameters."""
    workdir = tmp_path_factory.mktemp("earlier")
    outcome = loop.train(walks(steps=4, evaluate_every=4), dataset, workdir)
    return outcome.directory, warm_start.read(WarmStart(run=str(outcome.directory))).parameters


def initialized(dataset, options, *, blocks=1, **trainer_options):
    experiment = walks(steps=4, warm_start=options, **trainer_options)
    model = dataclasses.replace(experiment.model, blocks=blocks)
    one = mesh.build(Mesh(data=1), jax.devices()[:1])
    program = build_program(dataclasses.replace(experiment, model=model), dataset.schema, one)
    return jax.device_get(program.initialize())


def test_a_run_starts_with_the_parameters_of_another(dataset, earlier, capsys):
    folder, theirs = earlier
    state = initialized(dataset, WarmStart(run=str(folder)), ema=0.9)
    for part in ("parameters", "ema"):
        assert state[part].keys() == theirs.keys()
        for path in theirs:
            np.testing.assert_array_equal(state[part][path], theirs[path])
    assert f"warm start: {len(theirs)} of {len(theirs)} parameters" in capsys.readouterr().out
    fresh = initialized(dataset, WarmStart())
    assert not np.array_equal(fresh["parameters"]["norm/scale"], theirs["norm/scale"])


def test_what_is_missing_or_extra_is_named(dataset, earlier, capsys):
    folder, theirs = earlier
    with pytest.raises(warm_start.WarmStartError, match="missing there: blocks/1/qkv/kernel"):
        initialized(dataset, WarmStart(run=str(folder)), blocks=2)
    state = initialized(dataset, WarmStart(run=str(folder), missing="initialize"), blocks=2)
    np.testing.assert_array_equal(
        state["parameters"]["blocks/0/qkv/kernel"], theirs["blocks/0/qkv/kernel"]
    )
    assert "missing there: blocks/1/qkv/kernel (16, 48)" in capsys.readouterr().out


def test_renamed_parameters_are_found_and_the_others_are_extra(dataset, earlier):
    folder, theirs = earlier
    rename = (("blocks/0/(.*)", r"blocks/1/\1"),)
    options = WarmStart(run=str(folder), rename=rename, missing="initialize")
    state = initialized(dataset, options, blocks=2)
    np.testing.assert_array_equal(
        state["parameters"]["blocks/1/up/kernel"], theirs["blocks/0/up/kernel"]
    )
    with pytest.raises(warm_start.WarmStartError, match="unknown here: blocks/1/up/kernel"):
        initialized(dataset, options)
    ignoring = dataclasses.replace(options, extra="ignore")
    assert "blocks/0/up/kernel" in initialized(dataset, ignoring)["parameters"]
    twice = dataclasses.replace(options, rename=((".*", "one"),))
    with pytest.raises(warm_start.WarmStartError, match="calls two parameters 'one'"):
        initialized(dataset, twice)


def test_another_shape_counts_as_missing(earlier):
    theirs = {"item/embedding": np.zeros((4, 2), np.float32)}
    ours = {"item/embedding": np.zeros((6, 2), np.float32)}
    with pytest.raises(warm_start.WarmStartError, match=r"is \(4, 2\) there and \(6, 2\) here"):
        warm_start.fit(ours, theirs, WarmStart(run="r"))
    assert warm_start.fit(ours, theirs, WarmStart(run="r", missing="initialize")) == {}
    with pytest.raises(warm_start.WarmStartError, match=r"is \(6, 2\) there and \(4, 2\) here"):
        warm_start.fit(theirs, ours, WarmStart(run="r"), grow=["item/embedding"])


def test_a_dense_table_keeps_its_rows_when_the_vocabulary_has_grown(dataset, earlier, capsys):
    folder, theirs = earlier
    old, items = theirs["item/embedding"], dataset.schema["item"].size + 500
    features = [
        dataclasses.replace(each, size=items) if each.vocabulary == "item" else each
        for each in dataset.schema.features
    ]
    one = mesh.build(Mesh(data=1), jax.devices()[:1])

    def grown(options):
        program = build_program(
            walks(steps=4, warm_start=options, ema=0.9), Schema(tuple(features)), one
        )
        return jax.device_get(program.initialize())

    state, fresh = grown(WarmStart(run=str(folder))), grown(WarmStart())
    for part in ("parameters", "ema"):
        new = state[part]["item/embedding"]
        assert len(new) > len(old)
        np.testing.assert_array_equal(new[: len(old)], old)
        np.testing.assert_array_equal(new[len(old) :], fresh[part]["item/embedding"][len(old) :])
    said = capsys.readouterr().out
    assert f"warm start: item/embedding, {len(old)} of {len(new)} rows" in said
    assert "another shape" not in said


SPARSE = {"objective": SampledSoftmax(8), "embedding": Embedding(placement="replicated")}


def test_a_sparse_table_keeps_its_rows_when_the_vocabulary_has_grown(dataset, tmp_path, capsys):
    experiment = walks(steps=4, evaluate_every=4)
    sparse = dataclasses.replace(experiment.model, **SPARSE)
    outcome = loop.train(dataclasses.replace(experiment, model=sparse), dataset, tmp_path)
    old = run.load(outcome.directory)[2]["item/embedding"]
    assert not np.array_equal(old, np.zeros_like(old))

    items = dataset.schema["item"].size + 500
    features = [
        dataclasses.replace(each, size=items) if each.vocabulary == "item" else each
        for each in dataset.schema.features
    ]
    wider = Schema(tuple(features))
    options = WarmStart(run=str(outcome.directory))
    one = mesh.build(Mesh(data=1), jax.devices()[:1])

    def grown(options, model=sparse):
        other = dataclasses.replace(walks(steps=4, warm_start=options), model=model)
        program = build_program(other, wider, one)
        state = program.initialize()
        return jax.device_get(program.inference_parameters(state))["item/embedding"], state["slots"]

    new, slots = grown(options)
    assert new.shape == (640, 16)
    np.testing.assert_array_equal(new[: len(old)], old)
    fresh, _ = grown(WarmStart())
    np.testing.assert_array_equal(new[len(old) :], fresh[len(old) :])
    assert not np.array_equal(fresh[: len(old)], old)
    accumulator = np.asarray(slots["item/embedding"]["accumulator"])
    assert (accumulator == accumulator.flat[0]).all(), "slots start anew"
    assert f"item/embedding, {len(old)} of 640 rows from" in capsys.readouterr().out

    narrower = dataclasses.replace(sparse, width=8)
    with pytest.raises(warm_start.WarmStartError, match="does not fit"):
        grown(options, narrower)
