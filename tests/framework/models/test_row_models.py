"""DLRM, DCN-v2 and MMoE against plain NumPy, and on several devices."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from podway.framework import heads, task
from podway.framework.embedding.lookup import EmbeddedRows
from podway.framework.error import ConfigError
from podway.framework.heads import Binary
from podway.framework.models.dcn import Dcn
from podway.framework.models.dlrm import Dlrm
from podway.framework.models.mmoe import Mmoe
from podway.framework.models.parts import columns
from podway.framework.schema.schema import PADDING
from tests.framework import experiments, rows
from tests.framework.meshes import on_eight_devices
from tests.framework.models.test_sasrec import MODEL as RECOMMENDER

IDS = ("user", "item", "tags", "item.brand", "item.words")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return rows.write(tmp_path_factory.mktemp("rows") / "dataset")


@pytest.fixture(scope="module")
def batch():
    """Ids of all columns, the first of each column missing; numbers; labels."""
    draw = np.random.default_rng(5)
    shapes = {
        "user": (30,),
        "item": (40,),
        "tags": (9, 3),
        "item.brand": (6,),
        "item.words": (12, 4),
    }
    found = {
        name: draw.integers(0, size, (7, *length)).astype(np.int32)
        for name, (size, *length) in shapes.items()
    }
    for ids in found.values():
        ids[0] = PADDING
    numbers = {"day": draw.normal(size=(7, 2)), "price": draw.normal(size=7)}
    labels = {
        "click": draw.integers(0, 2, 7),
        "amount": draw.normal(size=7),
        "level": draw.integers(0, 3, 7),
    }
    return found | {name: x.astype(np.float32) for name, x in (numbers | labels).items()}


def built(model, dataset):
    """Graph and parameters, away from zero so that a forgotten bias shows."""
    draw = np.random.default_rng(0)
    parameters = task.initialize(model, dataset.schema, jax.random.key(3))
    moved = {
        path: np.asarray(each) + 0.3 * draw.normal(size=each.shape).astype(np.float32)
        for path, each in sorted(parameters.items())
    }
    return task.structure(model, dataset.schema), moved


class Plain:
    """The parts of the models in float64, from the parameters by path."""

    def __init__(self, parameters):
        self.p = {path: np.asarray(each, np.float64) for path, each in parameters.items()}

    def vector(self, name, ids):
        table = self.p[f"embeddings/{name}/embedding"]
        there = [table[each] for each in np.atleast_1d(ids) if each != 0]
        return np.mean(there, axis=0) if there else np.zeros(table.shape[1])

    def linear(self, x, name, expert=()):
        bias = self.p.get(f"{name}/bias", np.zeros(1))
        return x @ self.p[f"{name}/kernel"][expert] + (bias[expert] if bias.ndim > 1 else bias)

    def mlp(self, x, name, layers, expert=()):
        for at in range(layers):
            x = np.maximum(self.linear(x, f"{name}/layers/{at}", expert), 0)
        return x

    def row(self, batch, at):
        vectors = [self.vector(name, batch[name][at]) for name in IDS]
        return vectors, np.concatenate([batch["day"][at], batch["price"][at : at + 1]])


def dlrm(plain, batch, at):
    vectors, numbers = plain.row(batch, at)
    dense = plain.mlp(numbers, "bottom", 2)
    every = [dense, *vectors]
    dots = [every[i] @ every[j] for i in range(len(every)) for j in range(i)]
    return plain.linear(plain.mlp(np.concatenate([dense, dots]), "top", 1), "answer")


def dcn(plain, batch, at):
    vectors, numbers = plain.row(batch, at)
    first = x = np.concatenate([*vectors, numbers])
    for layer in range(2):
        x = first * plain.linear(x, f"cross/{layer}/outer") + x
    return plain.linear(plain.mlp(x, "deep", 1), "answer")


def low_rank(plain, batch, at):
    vectors, numbers = plain.row(batch, at)
    first = x = np.concatenate([*vectors, numbers])
    for layer in range(2):
        inner = plain.linear(x, f"cross/{layer}/inner")
        assert inner.shape == (4,)
        x = first * plain.linear(inner, f"cross/{layer}/outer") + x
    return plain.linear(np.concatenate([x, plain.mlp(first, "deep", 1)]), "answer")


def mmoe(plain, batch, at):
    vectors, numbers = plain.row(batch, at)
    x = np.concatenate([*vectors, numbers])
    experts = [plain.mlp(x, "experts", 2, expert) for expert in range(3)]
    logits = []
    for label in range(3):
        gate = np.exp(plain.linear(x, f"gates/{label}"))
        mixed = sum(share * each for share, each in zip(gate / gate.sum(), experts, strict=True))
        logits.append(plain.linear(plain.mlp(mixed, f"towers/{label}", 1), f"answers/{label}"))
    return np.concatenate(logits)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("dlrm", dlrm), ("dcn", dcn), ("low rank", low_rank), ("mmoe", mmoe)],
)
def test_logits_and_loss_match_an_independent_computation(dataset, batch, name, expected):
    model = rows.MODELS[name]
    graph, parameters = built(model, dataset)
    features = {column: each for column, each in batch.items() if column not in ("click", "level")}
    found = experiments.said(model, model.predict, dataset.schema, parameters, **features)
    plain = Plain(parameters)
    wanted = np.stack([expected(plain, batch, at) for at in range(7)])
    np.testing.assert_allclose(found["click"], wanted[:, 0], rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(found["amount"], wanted[:, 1], rtol=2e-4, atol=2e-4)
    assert {each.dtype for each in found.values()} == {np.dtype("float32")}

    arrays = {column: jnp.asarray(each) for column, each in batch.items()}
    lookups = model.lookups(dataset.schema, arrays, jax.random.key(0))
    taken = {
        column: EmbeddedRows(parameters[each.path][each.ids], each.ids)
        for column, each in lookups.items()
    }
    loss, weight, metrics = model.loss(
        task.merge(graph, parameters), arrays, taken, task.ForwardContext(jax.random.key(0))
    )
    z, y = wanted[:, 0], batch["click"]
    parts = [np.mean(np.log1p(np.exp(z)) - y * z), np.mean((wanted[:, 1] - batch["amount"]) ** 2)]
    total = parts[0] + 0.5 * parts[1]
    if name == "mmoe":
        np.testing.assert_allclose(found["level"], wanted[:, 2:], rtol=2e-4, atol=2e-4)
        shares = np.exp(wanted[:, 2:]) / np.exp(wanted[:, 2:]).sum(1, keepdims=True)
        total += np.mean([-np.log(shares[at, int(c)]) for at, c in enumerate(batch["level"])])
    np.testing.assert_allclose(loss, total, rtol=1e-3)
    np.testing.assert_allclose(metrics["amount_loss"], parts[1], rtol=1e-3)
    assert weight == 7


def test_the_inputs_are_all_columns_but_labels_and_time_or_those_that_are_named(dataset):
    found = columns.choose(dataset.schema, (), ())
    assert tuple(found.ids) == IDS
    assert tuple(found.numbers) == ("day", "price")
    assert found.lengths["item.words"] == 4
    assert found.width == 3
    few = columns.choose(dataset.schema, ("item.brand", "price"), ())
    assert few.lengths == {"item.brand": 1, "price": 1, "item": 1}
    assert few.keys == ("item",)
    rest = columns.choose(dataset.schema, (), ("user", "day"))
    assert set(found.lengths) - set(rest.lengths) == {"user", "day"}


def test_what_cannot_be_is_one_sentence(dataset):
    with pytest.raises(ConfigError, match=r"model\.features has 'click', which is no column"):
        columns.choose(dataset.schema, ("user", "click"), ())
    with pytest.raises(ConfigError, match=r"names 'price', which is no label.*'click', 'amount'"):
        Dcn(objectives=(Binary("price"),)).lengths(dataset.schema)
    with pytest.raises(ConfigError, match=r"model\.objectives is empty"):
        Dcn()
    with pytest.raises(ConfigError, match="names a label twice"):
        Dlrm(objectives=(Binary("click"), Binary("click")))
    with pytest.raises(ConfigError, match=r"reads numbers, and model\.features has none"):
        task.structure(
            dataclasses.replace(rows.MODELS["dlrm"], features=("user", "item")), dataset.schema
        )
    with pytest.raises(ConfigError, match=r"model\.rank is 0"):
        Dcn(objectives=(Binary("click"),), rank=0)
    with pytest.raises(ConfigError, match=r"model\.expert is \(\)"):
        Mmoe(objectives=(Binary("click"),), expert=())


def test_a_dataset_of_sequences_is_refused(tmp_path):
    from tests.framework.conftest import write_dataset

    schema = write_dataset(tmp_path).schema
    assert RECOMMENDER.lengths(schema)
    with pytest.raises(ConfigError, match=r"set data\.examples to RowExamples"):
        rows.MODELS["dcn"].inputs(schema)


def test_what_a_model_offers_says_of_which_kind_it_is():
    assert isinstance(rows.MODELS["dcn"], task.LabelModel)
    assert not isinstance(rows.MODELS["dcn"], task.Recommender)
    assert isinstance(RECOMMENDER, task.Recommender)
    assert not isinstance(RECOMMENDER, task.LabelModel)


def test_objectives_answer_in_the_labels_own_terms():
    z = jnp.array([-2.0, 0.0, 3.0])
    np.testing.assert_allclose(Binary("a").answer(z), 1 / (1 + np.exp([2.0, 0.0, -3.0])), rtol=1e-6)
    logged = heads.Regression("a", log=True)
    y = np.array([-5.0, 0.0, 7.0], np.float32)
    signed_log = jnp.sign(y) * jnp.log1p(jnp.abs(y))
    np.testing.assert_allclose(logged.answer(signed_log), y, rtol=1e-5)
    np.testing.assert_allclose(logged.loss(signed_log + 0.5, jnp.asarray(y)), [0.25] * 3, rtol=1e-5)
    labels = np.array([1.0, 0.0, 1.0, 1.0], np.float32)
    click = Binary("a")
    np.testing.assert_allclose(click.answer(click.logits(click.targets(labels).mean())), 0.75)
    few = heads.Classes("a", classes=3)
    shares = few.answer(few.logits(few.targets(labels).mean(0))[None])[0]
    np.testing.assert_allclose(shares, [0.25, 0.75, 0.0], atol=2e-6)
    with pytest.raises(ConfigError, match=r"holds \[2\.\], and objectives says that it is Binary"):
        Binary("a").check_labels(np.array([0.0, 2.0]))
    with pytest.raises(ConfigError, match="give whole numbers from 0 to 2"):
        few.check_labels(np.array([0.0, 3.0]))


MESHES = {
    "one": {"mesh": {"data": 1}},
    "data": {"mesh": {"data": 8}},
    "fsdp, tensor": {"mesh": {"fsdp": 2, "tensor": 2}},
    "in parts": {"mesh": {"fsdp": 4}, "trainer": {"accumulate": 2}},
}
RUN = {
    "dlrm": ("one", "data"),
    "low rank": ("one", "fsdp, tensor"),
    "mmoe": ("one", "fsdp, tensor", "in parts"),
    "sparse items": ("data",),
    "sparse items, replicated": ("one",),
}
CASES = {f"{name} {mesh}": (name, mesh) for name, meshes in RUN.items() for mesh in meshes}


@pytest.fixture(scope="module")
def losses(dataset):
    """{case: losses of 20 steps} on 8 forced devices."""
    cases = {case: {"family": name} | MESHES[mesh] for case, (name, mesh) in CASES.items()}
    return on_eight_devices(dataset, cases)


@pytest.mark.parametrize("case", [case for case in CASES if not case.endswith(" one")])
def test_every_mesh_gives_the_losses_of_one_device(losses, case):
    one = "sparse items, replicated one" if "sparse" in case else f"{CASES[case][0]} one"
    assert losses[one][-1] < 0.9 * losses[one][0]
    np.testing.assert_allclose(losses[case], losses[one], atol=1e-5, rtol=0)
