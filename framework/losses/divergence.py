"""What a student's softmax over a table of rows lacks of its teachers', over the whole table.

A teacher is known by its state at each position and by its own table, whose product its logits are.
The loss is the Kullback–Leibler divergence at a temperature (Hinton et al. 2015, arXiv:1503.02531),
times the temperature's square, so that its gradients keep their size. Several teachers teach the
mean of their probabilities.

With q the student's softmax of logits / T and p the teachers', the gradient of T²·KL by a logit is
T·(q − p). Logits of neither ever exist as a whole: positions are taken in chunks and, where one
position of each example has too many rows, rows in blocks, once for the normalizers and once more
for the gradients, as in softmax.py.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from podway.framework.losses.chunks import Chunks, blocks_of, elements, scaled
from podway.framework.losses.softmax import LOWEST
from podway.framework.losses.weights import Weights, divisor, weigh

Teacher = tuple[Float[Array, "batch length _"], Float[Array, "rows _"]]
"""States, and the table that they are multiplied with."""


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6, 7))
def divergence(
    hidden: Float[Array, "batch length width"],
    table: Float[Array, "rows width"],
    teachers: tuple[Teacher, ...],
    weights: Weights,
    temperature: float,
    first: int,
    last: int,
    devices: jax.sharding.Mesh | None = None,
) -> Float[Array, ""]:
    """Weighted mean of T² · KL(teachers ‖ softmax(hidden · tableᵀ / T)) (nats, f32).

    Args:
      hidden: the student's states.
      table: what they are multiplied with.
      teachers: of as many positions and rows; they have no gradient.
      weights: of the positions.
      temperature: T.
      first: the softmax runs over the rows first … last − 1.
      last: see `first`.
      devices: that share the batch.
    """
    return _forward(hidden, table, teachers, weights, temperature, first, last, devices)[0]


def _forward(
    hidden: Array,
    table: Array,
    teachers: tuple[Teacher, ...],
    weights: Array,
    temperature: float,
    first: int,
    last: int,
    devices: jax.sharding.Mesh | None,
) -> Any:
    batch, length, width = hidden.shape
    rows = table.shape[0]
    allowed = elements(devices)
    chunks = Chunks.of(length, allowed // (batch * rows))
    scale = 1.0 / divisor(weights)

    # Blocks of rows are cut across the parts of the table that devices along `tensor` hold.
    held = devices.shape["tensor"] if devices else 1
    held = held if rows % held == 0 else 1
    cut = blocks_of(rows // held, batch * chunks.size * rows / allowed)

    def blocks(x: Array) -> Array:
        """[rows, …] → [cut, held, rows of the block, …]."""
        return x.reshape(held, cut, -1, *x.shape[1:]).swapaxes(0, 1)

    def step(carry: tuple[Array, Array], chunk: Any) -> Any:
        total, of_table = carry
        *states, weight = chunk
        h, weight = states[0], weight[..., None, None]

        def logits_of(block: Any) -> list[Array]:
            """Of the student and of each teacher, [batch, size, held, rows of the block]."""
            *tables, row = block
            among = (row >= first) & (row < last)
            found = [
                jnp.einsum("bsw,trw->bstr", x, y, preferred_element_type=jnp.float32)
                for x, y in zip(states, tables, strict=True)
            ]
            return [jnp.where(among, each / temperature, LOWEST) for each in found]

        def look(seen: list[Any], block: Any) -> Any:
            logits, found = logits_of(block), []
            for (top, normalizer), each in zip(seen, logits, strict=True):
                higher = jnp.maximum(top, each.max((2, 3), keepdims=True))
                more = jnp.exp(each - higher).sum((2, 3), keepdims=True)
                found.append((higher, normalizer * jnp.exp(top - higher) + more))
            return found, logits if cut == 1 else None

        def differentiate(carry: tuple[Array, Array], block: Any, logits: Any = None) -> Any:
            terms, of_hidden = carry
            logits = logits_of(block) if logits is None else logits
            log_q, *logs = (
                each - normalizer for each, normalizer in zip(logits, normalizers, strict=True)
            )
            log_p = functools.reduce(jnp.logaddexp, logs) - math.log(len(logs))
            p = jnp.exp(log_p)
            terms += (p * (log_p - log_q)).sum((2, 3), keepdims=True)
            gradient = weigh((jnp.exp(log_q) - p) * (scale * temperature), weight).astype(h.dtype)
            of_hidden += jnp.einsum(
                "bstr,trw->bsw", gradient, block[0], preferred_element_type=jnp.float32
            )
            of_block = jnp.einsum("bstr,bsw->trw", gradient, h, preferred_element_type=jnp.float32)
            return (terms, of_hidden), of_block

        nothing = jnp.zeros((batch, chunks.size, 1, 1))
        seen = [(nothing + LOWEST, nothing) for _ in states]
        start = nothing, jnp.zeros(h.shape)
        if cut == 1:
            only = jax.tree.map(lambda each: each[0], of_rows)
            seen, logits = look(seen, only)
        else:
            seen, logits = jax.lax.scan(look, seen, of_rows)
        normalizers = [top + jnp.log(normalizer) for top, normalizer in seen]
        if cut == 1:
            (terms, of_hidden), of_block = differentiate(start, only, logits)
            of_table += of_block[None]
        else:
            (terms, of_hidden), of_blocks = jax.lax.scan(differentiate, start, of_rows)
            of_table += of_blocks
        return (total + weigh(terms, weight).sum(), of_table), of_hidden.astype(h.dtype)

    of_rows = [*map(blocks, (table, *(each for _, each in teachers))), blocks(jnp.arange(rows))]
    columns = [*map(chunks.cut, (hidden, *(each for each, _ in teachers), weights))]
    start = jnp.zeros(()), jnp.zeros((cut, held, rows // held // cut, width), jnp.float32)
    (total, of_table), of_hidden = jax.lax.scan(step, start, columns)
    of_table = of_table.swapaxes(0, 1).reshape(rows, width).astype(table.dtype)
    return total * scale * temperature**2, (chunks.joined(of_hidden), of_table)


def _backward(
    temperature: float, first: int, last: int, devices: Any, gradients: Any, cotangent: Array
) -> Any:
    return (*scaled(gradients, cotangent), None, None)


divergence.defvjp(_forward, _backward)
