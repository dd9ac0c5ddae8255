"""Programs with something left out, beside the whole one: python -m benchmarks.compress.structured

A SASRec with the shapes of MovieLens 1M and random parameters; quality is no matter here. Prints
for each step the share of numbers, of FLOPs and of time that remains: the median over rounds in
which all programs take turns, of histories → scores, compiled by XLA on this machine.
"""

import dataclasses
import functools
import statistics
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from benchmarks import timing
from podway.framework import task
from podway.framework.compression import importance
from podway.framework.compression.layers import without
from podway.framework.compression.structured import best, shrinkable, take
from podway.framework.formats import low_rank, matrix, shared_rows
from podway.framework.models.parts.shrink import What
from podway.framework.models.sasrec import SasRec
from podway.framework.schema.schema import Feature, Schema


@dataclasses.dataclass(frozen=True)
class Options:
    """The shapes."""

    items: int = 3416
    """Of the catalogue."""
    length: int = 200
    """Of histories."""
    width: int = 128
    """Of the model."""
    blocks: int = 2
    """Of the model."""
    heads: int = 4
    """Of the model."""
    batches: tuple[int, ...] = (1, 8, 64)
    """Users at a time."""
    rounds: int = 20
    """How often each program is timed."""


Program = tuple[SasRec, dict[str, Any]]


def programs(options: Options, schema: Schema) -> dict[str, Program]:
    """The whole model, and what each step leaves of it."""
    whole = SasRec(
        width=options.width,
        blocks=options.blocks,
        heads=options.heads,
        max_length=options.length,
    )
    parameters = task.initialize(whole, schema, jax.random.key(0))
    arrays = {path: np.asarray(array) for path, array in parameters.items()}
    table = arrays["item/embedding"]
    rank = low_rank.decompose(table, options.width // 4)
    rare = np.arange(len(table)) >= len(table) // 2
    shared = shared_rows.share(table, rare, np.ones(len(table)))
    (layers,) = whole.groups("layers")
    return {
        "whole": (whole, arrays),
        "half of the units": _smaller(whole, arrays, "units"),
        "half of the heads": _smaller(whole, arrays, "heads"),
        "one layer less": (
            whole.left("layers", (options.blocks - 1,)),
            without(arrays, layers, 0),
        ),
        "a quarter of the rank": (whole, matrix.spread(arrays | {"item/embedding": rank})),
        "half of the rows": (whole, matrix.spread(arrays | {"item/embedding": shared})),
    }


def _smaller(model: SasRec, parameters: dict[str, np.ndarray], what: What) -> Program:
    _, groups = shrinkable(model, what)
    for group in groups:
        members = best(importance.magnitude(group, parameters), group.count // 2)
        parameters = take(parameters, group, members)
    return model.left(what, tuple(group.count // 2 for group in groups)), parameters


def main(options: Options) -> None:
    """Prints the table."""
    item = Feature("item", "item", "int32", True, "item", options.items + 2, options.length)
    schema = Schema((item,))
    found = programs(options, schema)
    print(f"{'':24}{'numbers':>9}", *(f"{f'batch {n}':>24}" for n in options.batches))
    print(f"{'':24}{'':9}", *(f"{'FLOPs':>10}{'time':>14}" for _ in options.batches))
    cells = {name: [_share(found, name)] for name in found}
    for batch in options.batches:
        history = jnp.ones((batch, options.length), jnp.int32) * 7
        compiled: dict[str, Any] = {}
        given: dict[str, tuple[Any, ...]] = {}
        for name, (model, parameters) in found.items():
            scores = task.inference(model, schema, model.scores)
            given[name] = jax.device_put(parameters), {"item": history}
            program = jax.jit(functools.partial(_largest, scores))
            compiled[name] = program.lower(*given[name]).compile()
        seconds = timing.taking_turns(compiled, lambda given=given: given, rounds=options.rounds)
        flops = {name: _flops(program) for name, program in compiled.items()}
        for name, row in cells.items():
            ratio = statistics.median(
                own / whole for own, whole in zip(seconds[name], seconds["whole"], strict=True)
            )
            own = statistics.median(seconds[name]) * 1e3
            row.append(f"{flops[name] / flops['whole']:10.0%}{ratio:6.0%}{own:6.1f} ms")
    for name, row in cells.items():
        print(f"{name:24}{row[0]:>9}", *(f"{cell:>24}" for cell in row[1:]))


def _largest(scores: task.Inference, parameters: Any, batch: task.Batch) -> jax.Array:
    """Of all scores the largest: one number, which is waited for."""
    return scores(parameters, batch, task.SERVING).max()


def _share(found: dict[str, Program], name: str) -> str:
    count, whole = (sum(each.size for each in found[of][1].values()) for of in (name, "whole"))
    return f"{count / whole:.0%}"


def _flops(program: Any) -> float:
    found = program.cost_analysis()
    return (found[0] if isinstance(found, list) else found)["flops"]


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
