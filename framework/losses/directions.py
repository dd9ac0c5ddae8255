"""How far states point away from others, whatever their lengths.

Hidden states of a teacher are hints to a student (FitNets: Romero et al. 2015, arXiv:1412.6550;
TinyBERT: Jiao et al. 2020, arXiv:1909.10351). A state's length is left out, as a table of items of
other lengths makes up for it.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from podway.framework.losses.weights import Weights, divisor, weigh

_SHORTEST = 1e-12
"""Squared length below which a state has no direction; it is scaled less, and its gradient is
finite."""


def direction_loss(
    states: Float[Array, "batch length width"],
    taught: Float[Array, "batch length width"],
    weights: Weights,
) -> Float[Array, ""]:
    """Weighted mean of |s/‖s‖ − t/‖t‖|² = 2 − 2·cos(s, t) (f32, from 0 to 4); `taught` has no
    gradient."""
    # Also before they are scaled: zero times what is no number is none.
    taught = jnp.where((weights > 0)[..., None], taught, 0.0)
    between = _scaled(states) - jax.lax.stop_gradient(_scaled(taught))
    return weigh(jnp.square(between).sum(-1), weights).sum() / divisor(weights)


def _scaled(x: Float[Array, "*batch width"]) -> Float[Array, "*batch width"]:
    x = x.astype(jnp.float32)
    return x * jax.lax.rsqrt(jnp.maximum(jnp.square(x).sum(-1, keepdims=True), _SHORTEST))
