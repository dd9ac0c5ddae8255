"""What a student's softmax over a table of rows lacks of its teacher's, without logits as a whole.

Of the teacher the K largest probabilities of each position are known, and what is left for all
others together. The loss is the Kullback–Leibler divergence of these K + 1 outcomes, at a
temperature (Hinton et al. 2015, arXiv:1503.02531), times the temperature's square, so that its
gradients keep their size. How the rest is spread among the others, nobody teaches.

With q the student's softmax of logits / T, p the teacher's K probabilities and r = 1 − Σ p the
rest, the gradient of T²·KL by a logit j is T·(q_j − t_j), where t_j is p_j of the K and
r · q_j / q_rest of the others.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from podway.framework.losses.chunks import Chunks, elements, scaled
from podway.framework.losses.softmax import LOWEST
from podway.framework.losses.weights import Weights, divisor, weigh


@functools.partial(jax.custom_vjp, nondiff_argnums=(5, 6, 7, 8))
def soft_cross_entropy(
    hidden: Float[Array, "batch length width"],
    table: Float[Array, "rows width"],
    ids: Int[Array, "batch length top"],
    log_probabilities: Float[Array, "batch length top"],
    weights: Weights,
    temperature: float,
    first: int,
    last: int,
    devices: jax.sharding.Mesh | None = None,
) -> Float[Array, ""]:
    """Weighted mean of T² · KL(teacher ‖ softmax(hidden · tableᵀ / T)) (nats, f32).

    Positions are taken in chunks, whose gradients are computed while their logits are at hand, as
    in linear_softmax_cross_entropy.

    Args:
      hidden: the student's states.
      table: what they are multiplied with.
      ids: rows of the teacher's largest probabilities; PADDING (0) where there are fewer.
      log_probabilities: the teacher's own, at this temperature.
      weights: of the positions.
      temperature: T.
      first: the softmax runs over the rows first … last − 1.
      last: see `first`.
      devices: that share the batch, as in linear_softmax_cross_entropy.
    """
    return _forward(
        hidden, table, ids, log_probabilities, weights, temperature, first, last, devices
    )[0]


def _forward(
    hidden: Array,
    table: Array,
    ids: Array,
    log_probabilities: Array,
    weights: Array,
    temperature: float,
    first: int,
    last: int,
    devices: jax.sharding.Mesh | None,
) -> Any:
    batch, length, _ = hidden.shape
    rows = table.shape[0]
    chunks = Chunks.of(length, elements(devices) // (batch * rows))
    scale = 1.0 / divisor(weights)
    row = jnp.arange(rows)
    among = (row >= first) & (row < last)

    def step(carry: tuple[Array, Array], chunk: tuple[Array, ...]) -> Any:
        total, of_table = carry
        h, top, log_p, weight = chunk
        logits = jnp.einsum("bsw,rw->bsr", h, table, preferred_element_type=jnp.float32)
        log_q = jax.nn.log_softmax(jnp.where(among, logits / temperature, LOWEST), axis=-1)
        known = top >= first
        p = jnp.where(known, jnp.exp(log_p.astype(jnp.float32)), 0.0)
        rest = jnp.maximum(1.0 - p.sum(-1, keepdims=True), 0.0)
        at = jnp.arange(batch)[:, None, None], jnp.arange(chunks.size)[None, :, None], top
        taught = jnp.zeros(logits.shape, bool).at[at].set(True)
        log_q_rest = jax.nn.logsumexp(
            jnp.where(taught | ~among, LOWEST, log_q), axis=-1, keepdims=True
        )
        own = jnp.take_along_axis(log_q, top, axis=-1)
        terms = jnp.where(known, p * (log_p - own), 0.0).sum(-1)
        # Where nothing is left to the teacher, the student may leave what it likes.
        left = jnp.where(rest > 0, jnp.log(jnp.where(rest > 0, rest, 1.0)) - log_q_rest, 0.0)
        terms += (rest * left)[..., 0]
        target = jnp.where(taught, 0.0, rest * jnp.exp(log_q - log_q_rest))
        target = target.at[at].add(p)
        q = jnp.exp(log_q) * (rest + p.sum(-1, keepdims=True))
        gradient = jnp.where(among, q - target, 0.0)
        gradient = weigh(gradient * (scale * temperature), weight[..., None]).astype(h.dtype)
        of_hidden = jnp.einsum("bsr,rw->bsw", gradient, table)
        of_table += jnp.einsum("bsr,bsw->rw", gradient, h, preferred_element_type=jnp.float32)
        total += weigh(terms, weight).sum()
        return (total, of_table), of_hidden

    start = jnp.zeros(()), jnp.zeros(table.shape, jnp.float32)
    columns = (hidden, ids, log_probabilities, weights)
    (total, of_table), of_hidden = jax.lax.scan(step, start, tuple(map(chunks.cut, columns)))
    gradients = chunks.joined(of_hidden), of_table.astype(table.dtype)
    return total * scale * temperature**2, gradients


def _backward(
    temperature: float, first: int, last: int, devices: Any, gradients: Any, cotangent: Array
) -> Any:
    return (*scaled(gradients, cotangent), None, None, None)


soft_cross_entropy.defvjp(_forward, _backward)
