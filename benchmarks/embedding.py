"""Embedding tables: time of a step by the table's size, sparse against a dense gradient.

usage: python -m benchmarks.embedding [--rows 10000 1000000] [--kinds sparse] [--width 64]

What is timed reads the rows of Zipf-distributed ids, differentiates a small loss, and updates the
table by row-wise Adagrad (sparse), or by Adam with the gradient of the whole table (dense; up to
--dense-rows); then a whole training step of SASRec with such a sparse table (train). Runs on one
device; sizes take turns, and each ratio is against the first size.
"""

import argparse
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType

from podway.framework import config
from podway.framework.devices import mesh
from podway.framework.embedding import table, update
from podway.framework.embedding.lookup import Lookup
from podway.framework.embedding.plan import TablePlan
from podway.framework.embedding.table import Embedding, Table
from podway.framework.models.parts.item_losses import SampledSoftmax
from podway.framework.models.sasrec import SasRec
from podway.framework.schema.schema import Feature, Schema
from podway.framework.training.optimizer import AdamW
from podway.framework.training.program import build_program


def loss(rows: jax.Array) -> jax.Array:
    return jnp.square(jnp.tanh(rows)).sum()


def sparse(rows: int, width: int) -> tuple[Any, Any]:
    """State and step (state, ids) → state, by fetch and update."""
    each = Table(rows, width)
    one = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:1])
    plan = TablePlan({"item": each}, one, ("data",))

    def step(state: Any, ids: jax.Array) -> Any:
        tables, slots, count = state
        lookups = {"item": Lookup("item", ids)}
        fetched = update.fetch(plan, tables, lookups)
        gradients = jax.grad(lambda found: loss(found["item"]))(fetched.rows)
        collected = update.collect(plan, lookups, gradients, fetched.residual)
        return *update.update(plan, tables, slots, collected, step=count), count + 1

    tables = {"item": jax.jit(table.initialize, static_argnums=0)(each, jax.random.key(0))}
    state = (tables, {"item": table.initialize_slots(each)}, jnp.zeros((), jnp.int32))
    return state, jax.jit(step, donate_argnums=0)


def dense(rows: int, width: int) -> tuple[Any, Any]:
    """The same by differentiating the lookup, with Adam."""
    optimizer = optax.adam(1e-3)

    def step(state: Any, ids: jax.Array) -> Any:
        whole, moments = state
        gradient = jax.grad(lambda whole: loss(jnp.take(whole, ids, axis=0)))(whole)
        updates, moments = optimizer.update(gradient, moments)
        return optax.apply_updates(whole, updates), moments

    whole = jax.random.normal(jax.random.key(0), (rows, width))
    return (whole, optimizer.init(whole)), jax.jit(step, donate_argnums=0)


def train(rows: int, width: int, batch: int, length: int) -> tuple[Any, Any]:
    """The same for the trainer's whole step."""
    experiment = config.Experiment(
        name="benchmark",
        data=config.Data(name="random", path="none"),
        model=SasRec(
            width=width,
            max_length=length,
            objective=SampledSoftmax(negatives=512),
            embedding=Embedding(),
        ),
        optimizer=AdamW(),
        trainer=config.Trainer(batch_size=batch),
    )
    schema = Schema((Feature("item", "item", "int32", True, "item", rows, 1000),))
    program = build_program(experiment, schema, mesh.build(config.Mesh()))

    def run(state: Any, ids: jax.Array) -> Any:
        return program.step(state, {"item": ids})[0]

    return program.initialize(), run


def main() -> None:
    """Prints a line per table: ms per step, and the ratio to the first."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--dense-rows", type=int, default=100_000)
    kinds = ("sparse", "dense", "train")
    parser.add_argument("--kinds", nargs="+", choices=kinds, default=kinds)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--length", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    make = {
        "sparse": lambda rows: sparse(rows, options.width),
        "dense": lambda rows: dense(rows, options.width),
        "train": lambda rows: train(rows, options.width, options.batch, options.length - 1),
    }
    runs = {
        f"{kind:6} {rows:>11,} rows": (make[kind](rows), rows)
        for kind in options.kinds
        for rows in options.rows
        if kind != "dense" or rows <= options.dense_rows
    }
    generator = np.random.default_rng(0)
    shape = (options.batch, options.length)
    # The same ranks for each size: what differs is the table, not how many rows a batch touches.
    ranks = [
        2 + generator.zipf(1.2, shape) % (min(options.rows) - 2) for _ in range(options.rounds + 2)
    ]
    states = {name: state for name, ((state, _), _) in runs.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for round_, ids in enumerate(ranks):
        for name, ((_, run), rows) in runs.items():
            # Spread over the whole table.
            placed = jax.device_put((ids * (rows // min(options.rows))).astype(np.int32))
            start = time.perf_counter()
            states[name] = jax.block_until_ready(run(states[name], placed))
            if round_ >= 2:
                times[name].append(time.perf_counter() - start)
    first = {name[:6]: float(np.median(times[name])) for name in reversed(runs)}
    for name, found in times.items():
        seconds = float(np.median(found))
        print(f"{name}  {1e3 * seconds:9.2f} ms/step   ×{seconds / first[name[:6]]:.2f}")


if __name__ == "__main__":
    main()
