"""Scales, and the whole numbers of steps of them that numbers are stored as.

Symmetric: the largest magnitude is the largest whole number, so zero stays zero (Jacob et al. 2018,
arXiv:1712.05877, without zero points). A scale has the eight significant bits of a bf16, and is
stored as one: its product with a whole number below 2¹⁶ is then exact in f32, so that what is read
of a format is, stored again, the very same. A model that was trained with rounded numbers is served
with these.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from podway.framework.formats.matrix import Matrix

_SMALLEST = float(jnp.finfo(jnp.float32).tiny)
"""A scale below that has no reciprocal: its numbers are zeros."""


def scale(
    x: Float[Array, "..."], largest: float, axis: int | tuple[int, ...]
) -> Float[Array, "..."]:
    """Of the numbers along `axis`, which stays with size 1: `largest` steps are their largest
    magnitude, to 0.2 %."""
    magnitude = jnp.abs(x.astype(jnp.float32)).max(axis=axis, keepdims=True, initial=0.0)
    found = jax.lax.reduce_precision(magnitude / largest, exponent_bits=8, mantissa_bits=7)
    return jnp.where(found < _SMALLEST, 0.0, found)  # not a number stays


def steps(
    x: Float[Array, "..."], scale: Float[Array, "..."], largest: float
) -> Float[Array, "..."]:
    """x / scale, at most `largest` either way; 0 where the scale is."""
    there = scale > 0
    inverse = jnp.where(there, 1.0 / jnp.where(there, scale, 1.0), 0.0)
    return jnp.clip(x.astype(jnp.float32) * inverse, -largest, largest)


def straight_through(
    quantize: Callable[[Array], Matrix], x: Float[Array, "..."]
) -> Float[Array, "..."]:
    """What would be read of x in a format, with the gradient of x (Bengio et al. 2013,
    arXiv:1308.3432)."""
    stored = jax.lax.stop_gradient(quantize(x).dense().astype(x.dtype))
    return stored + (x - jax.lax.stop_gradient(x))
