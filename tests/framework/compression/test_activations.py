"""Integers in activations: how they are calibrated, and what a model with them answers."""

import dataclasses

import jax
import numpy as np
import pytest
from flax import nnx

from podway.framework import task
from podway.framework.compression import calibration, quantize
from podway.framework.error import ConfigError
from podway.framework.formats import matrix, w8a8
from podway.framework.heads import Binary
from podway.framework.input.batches import TrainBatches
from podway.framework.models.dcn import Dcn
from podway.framework.models.decoder import Decoder
from podway.framework.models.ease import Ease
from podway.framework.models.ials import Ials
from podway.framework.models.mmoe import Mmoe
from podway.framework.models.retrieve_rank import RetrieveRank
from podway.framework.models.sasrec import SasRec
from podway.framework.models.two_tower import TwoTower
from podway.framework.runs import run
from tests.framework import experiments, rows

SMALL = {"width": 6, "blocks": 2, "heads": 2, "max_length": 8, "dropout": 0.0}
TOWERS = TwoTower(width=6, attributes=("genres", "year"))
DECODER = Decoder(
    width=6, layers=3, heads=2, kv_heads=1, head_width=4, feed_forward=10, max_length=8
)
RECOMMENDERS = [
    SasRec(**SMALL),
    DECODER,
    RetrieveRank(retrieval=TOWERS, candidates=5),
]
ROWS = [
    Dcn(objectives=(Binary("click"),), width=5, rank=3, deep=(7,)),
    Mmoe(objectives=(Binary("click"),), width=5, experts=3, expert=(6,), tower=(4,)),
]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return rows.write(tmp_path_factory.mktemp("rows") / "dataset")


def named(model) -> str:
    return type(model).__name__


def experiment_of(model, **trainer):
    return dataclasses.replace(experiments.walks(**trainer), model=model)


def parameters_of(model, dataset):
    _, found = experiments.noisy(model, dataset.schema)
    return jax.device_get(found | model.constants(dataset))


def reach_of(model, dataset, parameters, *, batches=1, percentile=100.0, **trainer):
    return calibration.reach(
        experiment_of(model, **trainer),
        dataset,
        parameters,
        batches=batches,
        percentile=percentile,
    )


def seen(model, dataset, parameters, monkeypatch, batches=1):
    """The largest magnitude that each call of a dense layer was given, of one call after the other,
    without a compiler."""
    found, plain = [], nnx.Linear.__call__

    def note(self, x, *given):
        found.append(np.abs(np.asarray(x)).max())
        return plain(self, x, *given)

    options = experiment_of(model).trainer
    read = TrainBatches(
        dataset,
        model.lengths(dataset.schema),
        batch_size=options.batch_size,
        steps=batches,
        seed=options.seed,
        window=options.shuffle_window_blocks,
    )
    head = model.predict if isinstance(model, task.LabelModel) else model.scores
    with monkeypatch.context() as patch, jax.disable_jit():
        patch.setattr(nnx.Linear, "__call__", note)
        infer = task.inference(model, dataset.schema, head)
        for index in range(batches):
            infer(parameters, dict(read[index]), task.SERVING)
    return np.array(found).reshape(batches, -1).max(0)


@pytest.mark.parametrize("model", [DECODER, ROWS[0]], ids=named)
def test_the_reach_is_the_largest_input_that_each_layer_was_given(
    model, described, labelled, monkeypatch
):
    """Those of a scan one by one; rounded up to the next number of eight bits."""
    dataset = labelled if model in ROWS else described
    parameters = parameters_of(model, dataset)
    found = reach_of(model, dataset, parameters)
    expected = np.sort(seen(model, dataset, parameters, monkeypatch))
    ours = np.sort(np.concatenate([each.ravel() for each in found.values()]))
    assert ours.shape == expected.shape
    assert (ours >= expected * (1 - 1e-5)).all()
    assert (ours <= expected * (1 + 2**-7 + 1e-5)).all()


def test_percentiles_by_hand():
    told = calibration.Magnitudes()
    told.note("up", 2, 0, np.array([[1.0, -2], [3, -4]]))
    told.note("up", 2, 0, np.array([100.0]))
    told.note("up", 2, 1, np.zeros(3))
    up = 1 + 2**-7
    np.testing.assert_allclose(told.reach("up", 100), [100 + 0.5, 0])  # its step is a half
    np.testing.assert_allclose(told.reach("up", 80), [4 * up, 0])
    np.testing.assert_allclose(told.reach("up", 79), [4 * up, 0])
    np.testing.assert_allclose(told.reach("up", 60), [3 + 2**-6, 0])
    np.testing.assert_allclose(told.reach("up", 1), [up, 0])
    told.note("up", 2, 1, np.array([np.nan, np.inf, 1]))
    with pytest.raises(ConfigError, match=r"activations: 2 inputs of up are not finite"):
        told.reach("up", 100)


def test_it_is_the_same_each_time_and_whatever_the_batches(described):
    model = RECOMMENDERS[0]
    parameters = parameters_of(model, described)
    first, again, smaller, other = (
        reach_of(model, described, parameters, percentile=99.0, **each)
        for each in (
            {},
            {},
            {"batch_size": 4, "batches": 4},
            {"seed": 7},
        )
    )
    for path, each in first.items():
        np.testing.assert_array_equal(each, again[path], err_msg=path)
        np.testing.assert_array_equal(each, smaller[path], err_msg=path)
    assert any((each != other[path]).any() for path, each in first.items())


@pytest.mark.parametrize("model", [*RECOMMENDERS, ROWS[1]], ids=named)
def test_models_compute_with_integers_and_answer_nearly_the_same(model, described, labelled):
    dataset = labelled if model in ROWS else described
    parameters = parameters_of(model, dataset)
    reach = reach_of(model, dataset, parameters, batches=2)
    step = quantize.Int8(activations=True, dense=True)
    stored = jax.device_get(step.stored(model, dataset.schema, parameters, reach))
    names = {path.rpartition("/")[0] for path in stored if "/w8a8/" in path}
    assert names == {f"{path}/w8a8" for path in reach}
    head = model.predict if isinstance(model, task.LabelModel) else model.scores
    infer = task.inference(model, dataset.schema, head)
    batch = dict(
        TrainBatches(
            dataset, model.lengths(dataset.schema), batch_size=16, steps=1, seed=5, window=2
        )[0]
    )
    made = str(jax.make_jaxpr(infer)(stored, batch))
    assert made.count("preferred_element_type=int32") >= len(names)
    only = quantize.Int8(dense=True).stored(model, dataset.schema, parameters)
    ours, theirs = (
        np.concatenate([np.ravel(x) for x in jax.tree.leaves(jax.jit(infer)(each, batch))])
        for each in (stored, only)
    )
    there = np.abs(theirs) < 1e30  # what a ranking leaves out says so by a number
    assert np.corrcoef(ours[there], theirs[there])[0, 1] > 0.99
    assert not np.array_equal(ours, theirs)


def test_a_run_is_calibrated_and_stored(described, monkeypatch):
    model = RECOMMENDERS[0]
    parameters = parameters_of(model, described)
    monkeypatch.setattr(run, "load", lambda before: (None, None, parameters))
    step = quantize.Int8(activations=True, batches=1)
    found = step.convert(experiment_of(model), described, None)
    reach = reach_of(model, described, parameters)
    expected = w8a8.quantize(parameters["blocks/0/up/kernel"], reach["blocks/0/up/kernel"])
    stored = matrix.collect(found)["blocks/0/up/kernel"]
    for field in ("values", "scale", "input_scale"):
        np.testing.assert_array_equal(getattr(stored, field), getattr(expected, field))
    assert "item/embedding/int8/values" in found
    plain = quantize.Int8().convert(experiment_of(model), described, None)
    assert "blocks/0/up/kernel" in plain


def test_what_cannot_have_integers_is_refused(described):
    for model in (Ease(), Ials(width=6)):
        with pytest.raises(ConfigError, match=r"activations: \w+ has no dense layer"):
            reach_of(model, described, {})
    model = RECOMMENDERS[0]
    stored = quantize.Int8(dense=True).stored(
        model, described.schema, parameters_of(model, described)
    )
    with pytest.raises(ConfigError, match=r"SasRec has no dense layer .* in no format yet"):
        reach_of(model, described, stored)
    with pytest.raises(ConfigError, match=r"activations is set, and nothing was calibrated"):
        quantize.Int8(activations=True).stored(model, described.schema, {})
    broken = parameters_of(model, described)
    broken["position/embedding"] = broken["position/embedding"] * np.float32(np.nan)
    with pytest.raises(ConfigError, match=r"inputs of blocks/0/\w+/kernel are not finite"):
        reach_of(model, described, broken)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batches": 0}, r"compression.batches is 0; give 1 or more"),
        ({"percentile": 0.0}, r"compression.percentile is 0.0; give more than 0, to 100"),
        ({"percentile": float("nan")}, r"compression.percentile is nan"),
    ],
)
def test_fields_are_checked(fields, message):
    with pytest.raises(ConfigError, match=message):
        quantize.Int8(activations=True, **fields)


def test_what_is_read_for_activations_alone_asks_for_them():
    with pytest.raises(ConfigError, match=r"percentile is 99.0, .* give activations=True, too"):
        quantize.Int8(percentile=99.0)
    with pytest.raises(ConfigError, match=r"compression.batches is 4, and"):
        quantize.Int8(dense=True, batches=4)
