"""The full softmax over a table of rows, without logits as a whole."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from podway.framework.devices import mesh
from podway.framework.losses.chunks import Chunks, blocks_of, elements, scaled
from podway.framework.losses.weights import Weights, divisor, weigh

LOWEST = float(jnp.finfo(jnp.float32).min)
"""Logit of a row that is left out. Not −inf, of which a block may have nothing else."""


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6))
def linear_softmax_cross_entropy(
    hidden: Float[Array, "batch length width"],
    table: Float[Array, "rows width"],
    targets: Int[Array, "batch length"],
    weights: Weights,
    first: int,
    last: int,
    devices: jax.sharding.Mesh | None = None,
) -> Float[Array, ""]:
    """Weighted mean of −log softmax(hidden · tableᵀ)[target] (nats, f32).

    The weights are [batch, length]. The softmax runs over the rows first … last − 1 of the table;
    targets with weight lie there.
    Logits never exist as a whole: positions are taken in chunks of the length (the batch stays
    split among devices), and a chunk's gradients are computed while its logits are at hand, so the
    backward pass only scales them. (The idea of fused linear cross-entropy, Hsu et al. 2024,
    arXiv:2410.10989.) Where one position of each example has too many logits, rows are taken in
    blocks too, once for the normalizer and once more for the gradients (cut cross-entropy, Wijmans
    et al. 2024, arXiv:2411.09009): beyond the table and its gradient, memory does not grow with the
    rows.

    With the `devices` that share the batch, each adds up the table's gradient of its own positions,
    and all are added once, at the end; without them, the compiler does so with each chunk.
    """
    return _forward(hidden, table, targets, weights, first, last, devices)[0]


def _forward(
    hidden, table, targets, weights, first: int, last: int, devices: jax.sharding.Mesh | None
) -> Any:
    batch, length, width = hidden.shape
    rows = table.shape[0]
    parts, allowed = mesh.batch_parts(devices) if devices else 1, elements(devices)
    chunks = Chunks.of(length, allowed // (batch * rows))

    # Blocks of rows are cut across the parts of the table that devices along `tensor` hold.
    held = devices.shape["tensor"] if devices else 1
    held = held if rows % held == 0 else 1
    cut = blocks_of(rows // held, batch * chunks.size * rows / allowed)
    row = jnp.arange(rows).reshape(held, cut, -1).swapaxes(0, 1)
    blocks = table.reshape(held, cut, -1, width).swapaxes(0, 1)
    scale = 1.0 / divisor(weights)

    def logits_of(h: Array, block: Array, row: Array) -> Array:
        """[batch, size, held, rows of the block]."""
        logits = jnp.einsum("bsw,trw->bstr", h, block, preferred_element_type=jnp.float32)
        return jnp.where((row >= first) & (row < last), logits, LOWEST)

    def of_table(gradient: Array, h: Array) -> Array:
        """What a chunk adds to a block's gradient, shaped as `start` below."""
        if parts == 1:
            whole = jnp.einsum("bsw,bstr->wtr", h, gradient, preferred_element_type=jnp.float32)
            return whole[None]
        gradient, h = (x.reshape(parts, batch // parts, *x.shape[1:]) for x in (gradient, h))
        return jnp.einsum("pbstr,pbsw->ptrw", gradient, h, preferred_element_type=jnp.float32)

    def step(total_and_table_gradient, chunk):
        total, table_gradient = total_and_table_gradient
        h, target, weight = (x[..., None, None] if x.ndim == 2 else x for x in chunk)

        def look(seen, block_and_row):
            top, normalizer, picked = seen
            logits, is_target = logits_of(h, *block_and_row), block_and_row[1] == target
            higher = jnp.maximum(top, logits.max((2, 3), keepdims=True))
            exponentials = jnp.exp(logits - higher)
            normalizer *= jnp.exp(top - higher)
            normalizer += exponentials.sum((2, 3), keepdims=True)
            picked += jnp.where(is_target, logits, 0.0).sum((2, 3), keepdims=True)
            return (higher, normalizer, picked), exponentials if cut == 1 else None

        def differentiate(hidden_gradient, block_and_row, exponentials=None):
            block, row = block_and_row
            if exponentials is None:
                exponentials = jnp.exp(logits_of(h, block, row) - top)
            gradient = exponentials / normalizer - (row == target)
            gradient = weigh(gradient * scale, weight).astype(h.dtype)
            hidden_gradient += jnp.einsum("bstr,trw->bsw", gradient, block)
            return hidden_gradient, of_table(gradient, h)

        seen = jnp.full(target.shape, LOWEST), *[jnp.zeros(target.shape)] * 2
        start = jnp.zeros_like(h)
        if cut == 1:
            only = blocks[0], row[0]
            (top, normalizer, picked), exponentials = look(seen, only)
            hidden_gradient, of_block = differentiate(start, only, exponentials)
            table_gradient += of_block[None]
        else:
            (top, normalizer, picked), _ = jax.lax.scan(look, seen, (blocks, row))
            hidden_gradient, of_blocks = jax.lax.scan(differentiate, start, (blocks, row))
            table_gradient += of_blocks
        # Not a plain product: a position that does not count may have any target.
        terms = weigh(jnp.log(normalizer) + top - picked, weight)
        return (total + terms.sum(), table_gradient), hidden_gradient

    # The table's gradient, for each block and part. On one device its width comes first, so that
    # `h` is transposed for the product, not the larger `gradient`. On several it comes last, as in
    # the table's other gradients: the compiler then sends their sum.
    rest = (held, rows // held // cut)
    lies = (width, *rest) if parts == 1 else (*rest, width)
    start = jnp.zeros(()), jnp.zeros((cut, parts, *lies), jnp.float32)
    if devices is not None and parts > 1:
        place = jax.sharding.PartitionSpec(None, *mesh.BATCH, "tensor" if held > 1 else None)
        place = jax.sharding.NamedSharding(devices, place)
        start = start[0], jax.lax.with_sharding_constraint(start[1], place)
    (total, table_gradient), hidden_gradient = jax.lax.scan(
        step, start, tuple(map(chunks.cut, (hidden, targets, weights)))
    )
    table_gradient = table_gradient.sum(1)
    if parts == 1:
        table_gradient = jnp.moveaxis(table_gradient, 1, -1)
    table_gradient = table_gradient.swapaxes(0, 1).reshape(rows, width)
    return total * scale, (chunks.joined(hidden_gradient), table_gradient.astype(table.dtype))


def _backward(first: int, last: int, devices: Any, gradients, cotangent):
    return (*scaled(gradients, cotangent), None, None)


linear_softmax_cross_entropy.defvjp(_forward, _backward)
