"""Tables on eight devices against the same steps in NumPy, on whole tables in the order of ids."""

import functools
import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType

from podway.framework.embedding import table, update
from podway.framework.embedding.lookup import Lookup
from podway.framework.embedding.optimizer import (
    Adagrad,
    LazyAdam,
    RowOptimizer,
    RowWiseAdagrad,
    Sgd,
)
from podway.framework.embedding.plan import TablePlan
from podway.framework.embedding.table import Embedding, Table
from podway.framework.error import ConfigError
from tests import xla
from tests.framework import embedding_worker as worker

ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Case → (arrays, records), all from one process."""
    directory = tmp_path_factory.mktemp("embedding")
    environment = os.environ | {
        "XLA_FLAGS": xla.flags(devices=8),
        "JAX_PLATFORMS": "cpu",
    }
    subprocess.run(
        [sys.executable, "-m", "tests.framework.embedding_worker", str(directory)],
        cwd=ROOT,
        env=environment,
        check=True,
    )
    found = {}
    for path in directory.glob("*.json"):
        name, records = json.loads(path.read_text())
        found[name] = dict(np.load(path.with_suffix(".npz"))), records
    return found


def whole_gradient(given: dict, tables: dict, ids: dict) -> tuple[float, dict]:
    """Loss, and its gradient with respect to whole tables; an id at a time."""
    loss, gradients = 0.0, {name: np.zeros_like(array) for name, array in tables.items()}
    for name, (path, combiner) in worker.COLUMNS.items():
        weights = np.asarray(given["weights"][name], np.float64) / worker.EXAMPLES
        for place in np.ndindex(weights.shape[:-1]):
            named = np.atleast_1d(ids[name][place])
            named = named[named != 0]
            share = 1.0 / max(len(named), 1) if combiner == "mean" else 1.0
            x = share * sum((tables[path][i] for i in named), np.zeros(weights.shape[-1]))  # pyright: ignore[reportGeneralTypeIssues]
            loss += float(weights[place] @ np.sin(x))
            for i in named:
                gradients[path][i] += share * weights[place] * np.cos(x)
    return loss, gradients


def whole_update(optimizer, rows, slots, gradient, touched, step: int, factor: float):
    """One step on whole arrays, of which the touched rows count; written down anew."""
    rate, g = optimizer.learning_rate * factor, gradient
    match optimizer:
        case RowWiseAdagrad():
            slots["accumulator"][touched] += (g**2).mean(1)[touched]
            direction = g / np.sqrt(slots["accumulator"] + optimizer.epsilon)[:, None]
        case Adagrad():
            slots["accumulator"][touched] += (g**2)[touched]
            direction = g / np.sqrt(slots["accumulator"] + optimizer.epsilon)
        case LazyAdam():
            b1, b2, t = optimizer.beta1, optimizer.beta2, step + 1
            slots["mean"][touched] = (b1 * slots["mean"] + (1 - b1) * g)[touched]
            slots["square"][touched] = (b2 * slots["square"] + (1 - b2) * g**2)[touched]
            direction = slots["mean"] / (1 - b1**t)
            direction /= np.sqrt(slots["square"] / (1 - b2**t)) + optimizer.epsilon
        case Sgd():
            direction = g
    rows[touched] -= rate * (direction + optimizer.weight_decay * rows)[touched]


@functools.cache
def reference(*chosen: RowOptimizer) -> tuple[dict, list[dict]]:
    """What the worker's `train` should find, with these optimizers of its tables."""
    given = worker.problem()
    tables = {name: np.float64(array) for name, array in given["tables"].items()}
    optimizers = dict(zip(tables, chosen, strict=True))
    slots = {
        name: {
            key: np.full(tables[name].shape[: 1 + slot.wide], slot.initial)
            for key, slot in optimizers[name].slots().items()
        }
        for name in tables
    }
    records = []
    for step, ids in enumerate(given["ids"]):
        loss, gradients = whole_gradient(given, tables, ids)
        norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
        scale = min(1.0, worker.CLIP / norm)
        for name, gradient in gradients.items():
            named = [each.ravel() for k, each in ids.items() if worker.COLUMNS[k][0] == name]
            touched = np.setdiff1d(np.concatenate(named), [0])
            whole_update(
                optimizers[name],
                tables[name],
                slots[name],
                gradient * scale,
                touched,
                step,
                1 / (1 + step),
            )
        records.append({"loss": loss, "norm": norm})
    kept = {f"{n}.{key}": array for n, each in slots.items() for key, array in each.items()}
    return tables | kept, records


@pytest.mark.parametrize("case", [*worker.CASES])
def test_steps_equal_those_on_whole_tables(trained, case):
    _, options, own = worker.CASES[case]
    arrays, records = trained[case]
    wanted, losses = reference(*(own.get(name, options).optimizer for name in worker.SIZES))
    for record, expected in zip(records, losses, strict=True):
        assert record["norm"] > worker.CLIP  # the clipping acts
        assert record["embedding/overflow"] == record["embedding/invalid"] == 0
        np.testing.assert_allclose(record["loss"], expected["loss"], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(record["norm"], expected["norm"], rtol=1e-5)
    assert arrays.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_allclose(arrays[name], array, rtol=1e-5, atol=3e-6, err_msg=name)


def test_the_problem_has_what_it_should():
    ids = worker.problem()["ids"][0]
    devices = ids["history"].reshape(8, -1)
    assert all(len(np.unique(each)) < len(each) for each in devices)  # twice on a device
    assert len(set.intersection(*(set(each) - {0} for each in devices))) > 0  # on all devices
    assert np.intersect1d(ids["history"], ids["target"]).any()  # in two lookups of a table
    assert all((ids[name] == 0).any() for name in ("history", "words", "tags"))  # padding


def test_rows_without_a_gradient_stay_bit_by_bit(trained):
    arrays, _ = trained["lazy_adam on 2×2×2"]
    given = worker.problem()
    named = {
        i
        for ids in given["ids"]
        for name in ("history", "target", "negatives")
        for i in ids[name].ravel()
    }
    untouched = np.setdiff1d(np.arange(worker.SIZES["item"][0]), [*named - {0}])
    assert 0 in untouched
    assert len(untouched) > 100
    np.testing.assert_array_equal(arrays["item"][untouched], given["tables"]["item"][untouched])


def test_overflow_is_counted_and_reads_zeros(trained):
    """By the worker's own count of what fits; the rest of the ids is not disturbed."""
    arrays, (found,) = trained["overflow"]
    assert found["overflow"] == found["expected"] > 0
    assert found["fill"] > 1
    wrong = (arrays["rows"] != arrays["wanted"]).any(1)
    np.testing.assert_array_equal(arrays["rows"][wrong], 0)
    assert 0 < wrong.sum() < len(wrong)


def one_device() -> jax.sharding.Mesh:
    return jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:1])


@pytest.fixture(scope="module")
def single():
    """A plan of one table on one device, and its rows."""
    options = Embedding(LazyAdam(learning_rate=0.1))
    tables = {"item": Table(500, 4, options)}
    mesh = one_device()
    plan = TablePlan(tables, mesh, ("data",))
    return plan, {"item": table.initialize(tables["item"], jax.random.key(0))}


def test_ids_outside_the_table_are_counted_and_read_zeros(single):
    plan, stored = single
    fetched = update.fetch(plan, stored, {"item": Lookup("item", jnp.array([1, 499, 500, -1, 0]))})
    assert int(fetched.metrics["embedding/invalid"]) == 2
    rows = np.asarray(fetched.rows["item"])
    dense = table.to_dense(plan.tables["item"], stored["item"])
    np.testing.assert_array_equal(rows[:2], dense[[1, 499]])
    np.testing.assert_array_equal(rows[2:], 0)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Adagrad(0.1, initial=0.1), optax.adagrad(0.1, initial_accumulator_value=0.1)),
        (LazyAdam(0.1), optax.adam(0.1)),
        (LazyAdam(0.1, weight_decay=0.2), optax.adamw(0.1, weight_decay=0.2)),
        (Sgd(0.1), optax.sgd(0.1)),
    ],
)
def test_where_all_rows_are_touched_optax_agrees(ours, theirs):
    generator = np.random.default_rng(0)
    rows = jnp.asarray(generator.normal(size=(7, 3)), jnp.float32)
    slots = {name: jnp.full(rows.shape, slot.initial) for name, slot in ours.slots().items()}
    dense, state = rows, theirs.init(rows)
    for step in range(3):
        gradient = jnp.asarray(generator.normal(size=(7, 3)), jnp.float32)
        rows, slots = ours.update(rows, slots, gradient, jnp.asarray(step), 1.0)
        updates, state = theirs.update(gradient, state, dense)
        dense = optax.apply_updates(dense, updates)
    np.testing.assert_allclose(rows, dense, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("optimizer", [RowWiseAdagrad(), Adagrad(), LazyAdam(), Sgd()])
def test_the_compiled_step_copies_no_table(optimizer):
    """Donated, tables and slots are changed where they lie: temporary memory is the batch's."""
    each = Table(200_000, 32, Embedding(optimizer))
    mesh = one_device()
    plan = TablePlan({"item": each}, mesh, ("data",))

    def step(tables, slots, ids):
        lookups = {"item": Lookup("item", ids)}
        fetched = update.fetch(plan, tables, lookups)
        gradients = jax.grad(lambda rows: jnp.square(rows["item"]).sum())(fetched.rows)
        collected = update.collect(plan, lookups, gradients, fetched.residual)
        return update.update(plan, tables, slots, collected, step=0)

    memory = (
        jax.jit(step, donate_argnums=(0, 1))
        .lower(
            {"item": jax.ShapeDtypeStruct(each.shape, jnp.float32)},
            {"item": each.slots()},
            jax.ShapeDtypeStruct((64, 10), jnp.int32),
        )
        .compile()
        .memory_analysis()
    )
    assert memory is not None
    assert memory.alias_size_in_bytes >= each.bytes
    assert memory.temp_size_in_bytes < 1 << 20 < each.bytes // 8


def test_a_table_that_the_devices_cannot_share_is_an_error():
    class Eight:
        size = 8
        axis_names = ("data",)

    eight: Any = Eight()
    small = Table(100, 8, Embedding(placement="sharded"))
    with pytest.raises(ConfigError, match="placement of item is sharded, but its 100 rows have 4"):
        TablePlan({"item": small}, eight)
    assert not TablePlan({"item": Table(100, 8)}, eight).sharded("item")
    assert TablePlan({"item": Table(1 << 20, 8)}, eight).sharded("item")


def test_examples_that_do_not_divide_are_an_error(trained):
    assert (
        "lookup item has 3 examples, which the mesh's 8 devices"
        in trained["overflow"][1][0]["error"]
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sgd(learning_rate=0), "embedding.optimizer.learning_rate is 0"),
        (lambda: LazyAdam(beta2=1.0), "embedding.optimizer.beta2 is 1.0"),
        (lambda: Adagrad(epsilon=-1), "embedding.optimizer.epsilon is -1"),
        (lambda: Embedding(scale=-1), "embedding.scale is -1"),
        (lambda: Embedding(capacity_margin=0), "embedding.capacity_margin is 0"),
        (lambda: Table(0, 8), "embedding.rows is 0"),
        (lambda: Table(1 << 31, 8), "less than 2³¹ rows"),
    ],
)
def test_what_cannot_be_is_an_error(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
