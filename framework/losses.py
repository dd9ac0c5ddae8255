"""Losses as pure functions of arrays."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def softmax_cross_entropy(
    logits: Float[Array, "*batch rows"],
    targets: Int[Array, "*batch"],
    weights: Bool[Array, "*batch"],
) -> Float[Array, ""]:
    """Mean of −log softmax(logits)[target] (nats) over the positions whose weight is true; f32."""
    logits = logits.astype(jnp.float32)
    top = logits.max(-1, keepdims=True)
    normalizer = jnp.log(jnp.exp(logits - top).sum(-1)) + top[..., 0]
    picked = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    # Not a product with the weights: a masked position may have an infinite loss.
    terms = jnp.where(weights, normalizer - picked, 0.0)
    return terms.sum() / jnp.maximum(weights.sum(), 1)
