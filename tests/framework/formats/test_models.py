"""Models whose tables are in formats answer as with the same numbers in f32, and in their room."""

import dataclasses

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

from podway.export.lowering.recommender import recommend
from podway.framework import task
from podway.framework.compression.quantize import Float8, Int4, Int8
from podway.framework.config import Evaluation
from podway.framework.error import ConfigError
from podway.framework.evaluation.recommendation import RankingEvaluator
from podway.framework.formats import low_rank, matrix
from podway.framework.heads import Binary
from podway.framework.models.bert4rec import Bert4Rec
from podway.framework.models.dcn import Dcn
from podway.framework.models.decoder import Decoder
from podway.framework.models.ease import Ease
from podway.framework.models.hstu import Hstu
from podway.framework.models.ials import Ials
from podway.framework.models.item_knn import ItemKnn
from podway.framework.models.retrieve_rank import RetrieveRank
from podway.framework.models.sasrec import SasRec
from podway.framework.models.two_tower import TwoTower
from podway.framework.runs import run
from tests.framework import experiments, rows

SMALL = {"width": 6, "blocks": 1, "heads": 2, "max_length": 8}
TOWERS = TwoTower(width=6, attributes=("genres", "year"))
DECODER = Decoder(
    width=6, layers=3, heads=2, kv_heads=1, head_width=4, feed_forward=10, max_length=8, tied=False
)
RECOMMENDERS = [
    SasRec(**SMALL),
    Hstu(**SMALL),
    Bert4Rec(**SMALL),
    DECODER,
    TOWERS,
    RetrieveRank(retrieval=TOWERS, candidates=5),
    Ials(width=6),
    Ease(),
    ItemKnn(neighbours=6),
]
HISTORY = jnp.array([[3, 4, 5, 0], [9, 0, 0, 0], [0, 0, 0, 0]])


def named(model) -> str:
    return type(model).__name__


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return rows.write(tmp_path_factory.mktemp("rows") / "dataset")


def parameters_of(model, dataset):
    """Numbers away from zero, or what the model is fitted to."""
    if isinstance(model, task.FittedModel):
        return model.fit(dataset, seed=0)
    _, found = experiments.noisy(model, dataset.schema)
    return found | model.constants(dataset)


def widened(parameters):
    return {path: matrix.dense(each) for path, each in matrix.collect(parameters).items()}


@pytest.mark.parametrize("model", RECOMMENDERS, ids=named)
def test_evaluation_and_export_answer_as_with_the_same_numbers_in_f32(
    model, described, monkeypatch
):
    monkeypatch.setattr(matrix, "BLOCK", 4)
    schema, step = described.schema, Int8(dense=True)
    stored = step.stored(model, schema, parameters_of(model, described))
    assert any(np.asarray(each).dtype == np.int8 for each in stored.values())
    wide = widened(stored)
    evaluated = RankingEvaluator(model, Evaluation()).inference(schema)
    served = recommend(model, schema, 5)
    for function in (evaluated, served):
        columns = {"item": HISTORY} if function is evaluated else HISTORY
        ours, theirs = (jax.jit(function)(each, columns) for each in (stored, wide))
        for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("step", [Int4(), Int4(group=3), Float8()], ids=repr)
def test_the_other_formats_too(step, described, monkeypatch):
    monkeypatch.setattr(matrix, "BLOCK", 4)
    model = SasRec(**SMALL)
    stored = step.stored(model, described.schema, parameters_of(model, described))
    ours, theirs = (
        experiments.scores(model, described.schema, each, HISTORY)
        for each in (stored, widened(stored))
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_models_of_rows_read_rows_of_tables_in_formats(labelled):
    model = Dcn(objectives=(Binary("click"),), width=5)
    stored = Int4(dense=True).stored(model, labelled.schema, parameters_of(model, labelled))
    draw = np.random.default_rng(0)
    batch = {
        "user": draw.integers(0, 30, 4),
        "item": draw.integers(0, 40, 4),
        "tags": draw.integers(0, 9, (4, 3)),
        "item.brand": draw.integers(0, 6, 4),
        "item.words": draw.integers(0, 12, (4, 4)),
        "day": draw.normal(size=(4, 2)).astype(np.float32),
        "price": draw.normal(size=4).astype(np.float32),
    }
    ours, theirs = (
        experiments.said(model, model.predict, labelled.schema, each, **batch)["click"]
        for each in (stored, widened(stored))
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    "model",
    [each for each in RECOMMENDERS if not isinstance(each, TwoTower | RetrieveRank)],
    ids=named,
)
def test_what_is_read_in_its_format_is_never_whole(model, described, monkeypatch):
    """Nor are the kernels of all layers of a decoder; two towers compute all items' vectors."""
    monkeypatch.setattr(matrix, "BLOCK", 4)
    schema = described.schema
    stored = Int8(dense=True).stored(model, schema, parameters_of(model, described))
    infer = task.inference(model, schema, model.scores)
    made = intermediates(jax.make_jaxpr(infer)(stored, {"item": HISTORY}).jaxpr)
    kept = {path: matrix.collect(stored)[path].shape for path in model.in_formats(schema)}
    assert kept
    for path, shape in kept.items():
        assert ("float32", shape) not in made, path


def intermediates(jaxpr) -> set[tuple[str, tuple[int, ...]]]:
    """Types and shapes of all that a program computes."""
    found: set[tuple[str, tuple[int, ...]]] = set()
    for equation in jaxpr.eqns:
        found |= {(each.aval.dtype.name, each.aval.shape) for each in equation.outvars}
        for inner in jax.tree.leaves(
            list(equation.params.values()),
            is_leaf=lambda x: isinstance(x, jax.extend.core.ClosedJaxpr | jax.extend.core.Jaxpr),
        ):
            if isinstance(inner, jax.extend.core.ClosedJaxpr):
                found |= intermediates(inner.jaxpr)
            elif isinstance(inner, jax.extend.core.Jaxpr):
                found |= intermediates(inner)
    return found


def test_steps_go_on_with_what_is_in_no_format_yet(described):
    model = SasRec(**SMALL)
    schema, parameters = described.schema, parameters_of(model, described)
    first = Int4(paths=("item/embedding",)).stored(model, schema, parameters)
    second = Int8().stored(model, schema, first)
    assert "item/embedding/int4/values" in second
    assert "position/embedding/int8/values" in second
    with pytest.raises(ConfigError, match=r"paths: no table's path matches 'nix'; there are none"):
        Int8(paths=("nix",)).stored(model, schema, second)
    with pytest.raises(ConfigError, match=r"Int8: the model has no table that is not in a format"):
        Int8().stored(model, schema, second)


def test_the_factor_of_a_table_is_stored_too(described):
    model = SasRec(**SMALL)
    schema, parameters = described.schema, parameters_of(model, described)
    narrow = low_rank.decompose(np.asarray(parameters["item/embedding"]), 3)
    earlier = matrix.spread(parameters | {"item/embedding": narrow})
    for step in (Int8(), Int4(paths=("item/embedding",))):
        stored = step.stored(model, schema, earlier)
        name = "int4_odd" if isinstance(step, Int4) else "int8"
        assert f"item/embedding/low_rank/left/{name}/values" in stored
        assert "item/embedding/low_rank/right" in stored
        ours, theirs = (
            experiments.scores(model, schema, each, HISTORY) for each in (stored, widened(stored))
        )
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_the_run_of_a_model_of_rows_is_converted(labelled, monkeypatch):
    """Its tables' paths are known by the dataset's schema."""
    model = Dcn(objectives=(Binary("click"),), width=5)
    parameters = parameters_of(model, labelled)
    monkeypatch.setattr(run, "load", lambda before: (None, None, parameters))
    experiment = dataclasses.replace(experiments.walks(), model=model)
    found = Int8().convert(experiment, labelled, epath.Path("before"))
    assert found["embeddings/item/embedding/int8/values"].dtype == np.int8
