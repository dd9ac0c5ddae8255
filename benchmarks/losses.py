"""Full softmax over large catalogues: temporary memory by the number of items.

usage: python -m benchmarks.losses [--items 10000 100000 1000000] [--batch 128] [--length 200]

Compiles, and does not run, the loss with its gradients: as framework/losses/ has it, and with
whole logits (up to --whole-items). What holds the table's own gradient is told apart.
"""

import argparse
from typing import Any

import jax
import jax.numpy as jnp

from podway.framework.losses import softmax
from podway.framework.models.parts.history import item_rows

MIB = 2**20


def blocked(hidden: Any, table: Any, targets: Any, weights: Any) -> jax.Array:
    return softmax.linear_softmax_cross_entropy(
        hidden, table, targets, weights, 2, table.shape[0]
    )  # fmt: skip


def whole(hidden: Any, table: Any, targets: Any, weights: Any) -> jax.Array:
    logits = hidden @ table.T
    picked = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    terms = jax.nn.logsumexp(logits, axis=-1) - picked
    return jnp.where(weights, terms, 0).sum() / weights.sum()


def temporary(loss: Any, batch: int, length: int, width: int, rows: int) -> int:
    """Bytes."""
    arrays = (
        jax.ShapeDtypeStruct((batch, length, width), jnp.float32),
        jax.ShapeDtypeStruct((rows, width), jnp.float32),
        jax.ShapeDtypeStruct((batch, length), jnp.int32),
        jax.ShapeDtypeStruct((batch, length), jnp.bool_),
    )
    compiled = jax.jit(jax.value_and_grad(loss, (0, 1))).lower(*arrays).compile()
    memory = compiled.memory_analysis()
    assert memory is not None
    return memory.temp_size_in_bytes


def main() -> None:
    """Prints a line per number of items."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--whole-items", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--length", type=int, default=200)
    parser.add_argument("--width", type=int, default=64)
    options = parser.parse_args()
    shape = (options.batch, options.length, options.width)
    for items in options.items:
        rows = item_rows(items)
        table = rows * options.width * 4
        ours = temporary(blocked, *shape, rows)
        line = f"{items:>11,} items: {ours / MIB:9,.0f} MiB temporary, two tables' worth "
        line += f"{2 * table / MIB:7,.0f}, beside these {(ours - 2 * table) / MIB:6,.0f}"
        if items <= options.whole_items:
            line += f"; whole logits {temporary(whole, *shape, rows) / MIB:9,.0f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
