"""What positions count in a mean: those of weight true all alike, or each its own weight."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Weights = Bool[Array, "*positions"] | Float[Array, "*positions"]
"""True or above 0 where a position counts, and then how much; none is below 0."""


def weigh(terms: Float[Array, "*shape"], weights: Weights) -> Float[Array, "*shape"]:
    """Terms times weights; 0 where a position does not count, whatever its term is."""
    if weights.dtype == bool:
        return jnp.where(weights, terms, 0.0)
    return jnp.where(weights > 0, terms * weights, 0.0)


def divisor(weights: Weights) -> Float[Array, ""]:
    """What a sum of weighed terms is divided by: the weights' sum, and 1 where that is 0."""
    if weights.dtype == bool:
        return jnp.maximum(weights.sum(), 1)
    total = weights.sum()
    return jnp.where(total > 0, total, 1.0)
