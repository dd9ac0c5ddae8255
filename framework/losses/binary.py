"""Binary cross-entropy of targets and drawn rows."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from podway.framework.devices import mesh
from podway.framework.losses.chunks import elements
from podway.framework.losses.sampled import score_drawn
from podway.framework.losses.weights import Weights, divisor, weigh


@functools.partial(jax.custom_vjp, nondiff_argnums=(6, 7))
def binary_cross_entropy(
    hidden: Float[Array, "batch length width"],
    positives: Float[Array, "batch length width"],
    targets: Int[Array, "batch length"],
    weights: Weights,
    negatives: Float[Array, "*owners drawn width"],
    drawn: Int[Array, "*owners drawn"],
    beta: float = 1.0,
    devices: jax.sharding.Mesh | None = None,
) -> Float[Array, ""]:
    """Binary cross-entropy (nats, f32) of targets and drawn rows, a weighted mean.

    A position's loss is −(β log σ(s⁺) + Σ log(1 − σ(s⁻))) / (1 + drawn), with scores s = hidden ·
    row. A drawn target is left out of the sum, and the other drawn rows stand for it. At β = 1 that
    is the loss of SASRec (Kang & McAuley 2018, who don't divide), otherwise gBCE (Petrov &
    Macdonald 2023, arXiv:2308.07192). They raise σ(s⁺) to the power β in f64; β log σ(s⁺) =
    −β softplus(−s⁺) needs but f32.

    Examples are taken in chunks, whose gradients are computed while their scores are at hand.

    Args:
      hidden: states that are to predict.
      positives: the targets' rows.
      targets: their ids.
      weights: what each position counts, [batch, length].
      negatives: the drawn rows. `owners` are (batch, length), (batch,) where the positions of an
        example share them, or () where all do.
      drawn: their ids.
      beta: what a target's term counts.
      devices: that share the batch; a device's chunks are of its own examples.
    """
    return _forward(hidden, positives, targets, weights, negatives, drawn, beta, devices)[0]


def _forward(
    hidden, positives, targets, weights, negatives, drawn, beta: float, devices: Any
) -> Any:
    parts = mesh.batch_parts(devices) if devices else 1
    (batch, length), shared = targets.shape, drawn.ndim == 1
    # A quarter, as a score's exponential, term and gradient lie beside it.
    room = max(1, elements(devices) // parts // (4 * length * drawn.shape[-1]))
    examples = batch // parts
    size = next(size for size in range(min(room, examples), 0, -1) if examples % size == 0)
    count = examples // size
    scale = 1.0 / divisor(weights)

    def chunks(x: Array) -> Array:
        """[batch, …] → [count, batch / count, …]; each device takes some of its own examples."""
        x = jnp.moveaxis(x.reshape(parts, count, size, *x.shape[1:]), 1, 0)
        return x.reshape(count, parts * size, *x.shape[3:])

    def joined(x: Array) -> Array:
        """The inverse of `chunks`."""
        x = x.reshape(count, parts, size, *x.shape[2:])
        return jnp.moveaxis(x, 1, 0).reshape(batch, *x.shape[3:])

    def step(total_and_gradient, chunk):
        total, of_shared = total_and_gradient
        h, positive, target, weight, *own = chunk
        rows, ids = own or (negatives, drawn)
        value, (of_hidden, of_positives, of_rows) = jax.value_and_grad(_sum, (0, 1, 2))(
            h, positive, rows, ids, target, weight, beta
        )
        if shared:
            return (total + value, of_shared + of_rows), (of_hidden, of_positives)
        return (total + value, of_shared), (of_hidden, of_positives, of_rows)

    each = (hidden, positives, targets, weights) + (() if shared else (negatives, drawn))
    start = jnp.zeros(()), jnp.zeros(negatives.shape if shared else (), jnp.float32)
    (total, of_shared), gradients = jax.lax.scan(step, start, tuple(map(chunks, each)))
    gradients = [*map(joined, gradients), *([of_shared] if shared else [])]
    return total * scale, [
        (gradient * scale).astype(of.dtype)
        for gradient, of in zip(gradients, (hidden, positives, negatives), strict=True)
    ]


def _backward(beta: float, devices: Any, gradients, cotangent):
    of_hidden, of_positives, of_rows = (
        (cotangent * gradient).astype(gradient.dtype) for gradient in gradients
    )
    return of_hidden, of_positives, None, None, of_rows, None


binary_cross_entropy.defvjp(_forward, _backward)


def _sum(hidden, positives, negatives, drawn, targets, weights, beta: float) -> Float[Array, ""]:
    """The terms of `binary_cross_entropy`, summed over positions."""
    count = drawn.shape[-1]
    own = jnp.einsum("blw,blw->bl", hidden, positives, preferred_element_type=jnp.float32)
    scores, other = score_drawn(hidden, negatives, drawn, targets)
    against = jnp.where(other, softplus(scores), 0.0).sum(-1)
    against *= count / jnp.maximum(other.sum(-1), 1)
    terms = (beta * softplus(-own) + against) / (1 + count)
    return weigh(terms, weights).sum()


@jax.custom_jvp
def softplus(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """log(1 + exp(x)) = −log σ(−x), exact to a rounding of 1 (f32), and finite for any x."""
    return jnp.maximum(x, 0) + jnp.log(1 + jnp.exp(-jnp.abs(x)))


@softplus.defjvp
def _softplus_and_tangent(primals, tangents):
    """The derivative is σ(x), of the same exponential."""
    (x,), (tangent,) = primals, tangents
    less = jnp.exp(-jnp.abs(x))
    return softplus(x), tangent * jnp.where(x >= 0, 1, less) / (1 + less)
