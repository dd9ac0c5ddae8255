"""Trains tables on eight forced devices for test_embedding.py.

usage: python -m tests.framework.embedding_worker DIRECTORY

Writes for each case of CASES the tables and slots after the last step, and the metrics.
"""

import json
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from podway.framework.devices.mesh import AXES, BATCH
from podway.framework.embedding import table, update
from podway.framework.embedding.lookup import Lookup
from podway.framework.embedding.optimizer import Adagrad, LazyAdam, RowWiseAdagrad, Sgd
from podway.framework.embedding.plan import TablePlan, exchanges
from podway.framework.embedding.table import Embedding, Table
from podway.framework.error import ConfigError

MESHES = {
    "1": (1, 1, 1, 1),
    "8": (1, 8, 1, 1),
    "4×2": (1, 4, 2, 1),
    "2×2×2": (1, 2, 2, 2),
    "slices, tensor 4": (2, 1, 1, 4),
}
EXAMPLES, STEPS, CLIP = 16, 3, 0.5
OPTIMIZERS = {
    "row_wise_adagrad": RowWiseAdagrad(learning_rate=0.1),
    "adagrad": Adagrad(learning_rate=0.1, initial=0.01),
    "lazy_adam": LazyAdam(learning_rate=0.01, weight_decay=0.1),
    "sgd": Sgd(learning_rate=0.1, weight_decay=0.01),
}
SIZES = {"item": (1000, 16), "shop": (4096, 16), "word": (600, 8)}
COLUMNS = {
    "history": ("item", "none"),
    "target": ("item", "none"),
    "negatives": ("item", "none"),
    "shop": ("shop", "none"),
    "words": ("word", "mean"),
    "tags": ("word", "sum"),
    "topics": ("word", "none"),
}
"""Lookup → table and combiner."""
SHARED = {"negatives": 21, "topics": 3}
"""Lookups of the whole batch, and how many ids they have."""
SHAPES = {"history": (13,), "target": (), "shop": (), "words": (5,), "tags": (2, 3)}
"""Of the ids of one example."""
CASES = {
    f"{exchange} on {mesh}": (mesh, Embedding(placement="sharded", exchange=exchange), {})
    for exchange, meshes in {
        "all_to_all": [*MESHES],
        "two_hop": ["8", "2×2×2"],
        "ragged": ["2×2×2"],
    }.items()
    for mesh in meshes
}
CASES |= {
    f"replicated on {mesh}": (mesh, Embedding(placement="replicated"), {})
    for mesh in ("8", "2×2×2")
}
CASES |= {
    f"{name} on 2×2×2": ("2×2×2", Embedding(optimizer, placement="sharded"), {})
    for name, optimizer in OPTIMIZERS.items()
    if name != "row_wise_adagrad"  # those above
}
CASES["mixed on 2×2×2"] = (
    "2×2×2",
    Embedding(OPTIMIZERS["sgd"], placement="sharded"),
    {
        "shop": Embedding(OPTIMIZERS["lazy_adam"], placement="sharded", exchange="two_hop"),
        "word": Embedding(OPTIMIZERS["adagrad"], placement="replicated"),
    },
)
"""Name → mesh, options of the tables, and of those that have their own."""


def zipf(generator, rows: int, shape: tuple[int, ...]) -> np.ndarray:
    """Ids of which the low ones are frequent, and a tenth is padding."""
    ids = np.minimum(2 + generator.zipf(1.2, shape), rows - 1)
    return np.where(generator.random(shape) < 0.1, 0, ids).astype(np.int32)


def problem(seed: int = 0) -> dict:
    """Tables in the order of ids, the ids of each step, and the loss's weights."""
    generator = np.random.default_rng(seed)
    tables = {name: generator.normal(size=size).astype(np.float32) for name, size in SIZES.items()}
    shapes = {name: (EXAMPLES, *shape) for name, shape in SHAPES.items()}
    shapes |= {name: (count,) for name, count in SHARED.items()}
    ids = [
        {name: zipf(generator, SIZES[COLUMNS[name][0]][0], shape) for name, shape in shapes.items()}
        for _ in range(STEPS)
    ]
    weights = {}
    for name, shape in shapes.items():
        path, combiner = COLUMNS[name]
        kept = shape if combiner == "none" else shape[:-1]
        weights[name] = generator.normal(size=(*kept, SIZES[path][1])).astype(np.float32)
    return {"tables": tables, "ids": ids, "weights": weights}


def train(mesh: jax.sharding.Mesh, options: Embedding, own: dict[str, Embedding] | None = None):
    """A few steps; returns tables and slots in the order of ids, losses and metrics."""
    given = problem()
    own = own or {}
    tables = {n: Table(*size, options=own.get(n, options)) for n, size in SIZES.items()}
    plan = TablePlan(tables, mesh)
    stored = {
        name: jax.device_put(table.from_dense(tables[name], dense), plan.sharding(name))
        for name, dense in given["tables"].items()
    }
    slots = {
        name: jax.device_put(table.initialize_slots(tables[name]), plan.sharding(name))
        for name in tables
    }

    def put(arrays):
        return {
            name: jax.device_put(
                array,
                NamedSharding(mesh, PartitionSpec() if name in SHARED else BATCH),
            )
            for name, array in arrays.items()
        }

    def step(stored, slots, ids, weights, step):
        lookups = {
            name: Lookup(COLUMNS[name][0], each, name in SHARED) for name, each in ids.items()
        }
        fetched = update.fetch(plan, stored, lookups)

        def loss(rows):
            total = 0.0
            for name, each in rows.items():
                if (combiner := COLUMNS[name][1]) != "none":
                    each = update.combine(each, ids[name], combiner)
                total += (weights[name] * jnp.sin(each)).sum() / EXAMPLES
            return total

        value, gradients = jax.value_and_grad(loss)(fetched.rows)
        collected = update.collect(plan, lookups, gradients, fetched.residual)
        norm = jnp.sqrt(collected.squared_norm)
        stored, slots = update.update(
            plan,
            stored,
            slots,
            collected,
            step=step,
            scale=jnp.minimum(1.0, CLIP / norm),
            factor=1 / (1 + step),
        )
        return stored, slots, {"loss": value, "norm": norm, **fetched.metrics}

    jitted = jax.jit(step, donate_argnums=(0, 1))
    records = []
    for count, ids in enumerate(given["ids"]):
        stored, slots, metrics = jitted(stored, slots, put(ids), put(given["weights"]), count)
        records.append({name: float(value) for name, value in metrics.items()})
    dense = {name: table.to_dense(tables[name], array) for name, array in stored.items()}
    dense |= {
        f"{name}.{slot}": table.to_dense(tables[name], array)
        for name in tables
        for slot, array in slots[name].items()
    }
    return dense, records


def ragged_all_to_all(
    operand, output, input_offsets, send_sizes, output_offsets, recv_sizes, *, axis_name
):
    """What jax.lax.ragged_all_to_all says that it does, which no CPU can do; checks the sizes."""
    everyone = [
        jax.lax.all_gather(each, axis_name)
        for each in (operand, input_offsets, send_sizes, output_offsets)
    ]
    me = jax.lax.axis_index(axis_name)
    at = jnp.arange(len(output))
    for sender in range(len(send_sizes)):
        values, start, size, place = (each[sender] for each in everyone)
        inside = (at >= place[me]) & (at < place[me] + jnp.minimum(size[me], recv_sizes[sender]))
        source = jnp.clip(at - place[me] + start[me], 0, len(operand) - 1)
        inside = inside.reshape(-1, *(1 for _ in output.shape[1:]))
        output = jnp.where(inside, values[source], output)
    return output


def overflow() -> tuple[dict, list[dict]]:
    """An exchange whose buffers are too small, since the counts that it was told are wrong."""
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    each = Table(100_000, 8, Embedding(placement="sharded"))
    lie = np.zeros(100_000, np.int64)
    lie[2] = 1
    plan = TablePlan({"item": each}, mesh, ("data",), {"item": lie})
    dense = np.random.default_rng(0).normal(size=(100_000, 8)).astype(np.float32)
    stored = jax.device_put(table.from_dense(each, dense), plan.sharding("item"))
    ids = np.random.default_rng(1).integers(2, 100_000, 8 * 400)
    lookups = {"item": Lookup("item", jnp.asarray(ids))}
    fetched = update.fetch(plan, {"item": stored}, lookups)
    (([hop], _),) = exchanges(plan, lookups)
    lost = 0
    for mine in ids.reshape(8, 400):
        asked = np.bincount(np.unique(mine) % 8, minlength=8)
        lost += int(np.maximum(asked - hop.capacity["item"], 0).sum())
    try:
        update.fetch(plan, {"item": stored}, {"item": Lookup("item", jnp.zeros(3, jnp.int32))})
        error = ""
    except ConfigError as caught:
        error = str(caught)
    found = {
        "overflow": int(fetched.metrics["embedding/overflow"]),
        "fill": float(fetched.metrics["embedding/fill"]),
        "expected": lost,
        "error": error,
    }
    return {"rows": np.asarray(fetched.rows["item"]), "wanted": dense[ids]}, [found]


def main(directory: str) -> None:
    """Runs all cases."""
    save(directory, "overflow", *overflow())
    jax.lax.ragged_all_to_all = ragged_all_to_all
    for name, (shape, options, own) in CASES.items():
        size = int(np.prod(MESHES[shape]))
        mesh = jax.make_mesh(
            MESHES[shape], AXES, axis_types=(AxisType.Auto,) * 4, devices=jax.devices()[:size]
        )
        save(directory, name, *train(mesh, options, own))


def save(directory: str, name: str, arrays: dict, records: list[dict]) -> None:
    """Leaves a case's arrays and records in two files."""
    path = pathlib.Path(directory) / name.replace(" ", "_")
    np.savez(path.with_suffix(".npz"), **arrays)
    path.with_suffix(".json").write_text(json.dumps([name, records]))


if __name__ == "__main__":
    main(*sys.argv[1:])
