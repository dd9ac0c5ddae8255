"""Rows of 8-bit floats (E4M3: four bits of exponent, three of mantissa), each with a scale.

Micikevicius et al. 2022 (arXiv:2209.05433). The bits are kept as bytes, which every checkpoint,
TensorFlow and client can hold; the program says what they mean. Computed in f32: a device with
8-bit floats converts at once, another one bit by bit, which takes longer than from int8.
"""

import dataclasses
from typing import Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, BFloat16, Float, Int, UInt8

from podway.framework.formats import steps
from podway.framework.formats.matrix import Matrix, register

LARGEST = 448.0
_TYPE = jnp.float8_e4m3fn


@register
@dataclasses.dataclass(frozen=True)
class Float8Rows(Matrix):
    """bits, as 8-bit floats, · scale, by rows."""

    name = "float8"

    bits: UInt8[Array, "rows width"]
    scale: BFloat16[Array, " rows"]

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and width."""
        return tuple(self.bits.shape)

    def rows(self, ids: Int[Array, "..."]) -> Float[Array, "... width"]:
        """Some rows, f32."""
        scale = jnp.asarray(self.scale)[ids].astype(jnp.float32)
        return _widened(jnp.asarray(self.bits)[ids]) * scale[..., None]

    def part(self, first: Int[Array, ""] | int, size: int) -> Self:
        """Consecutive rows."""
        bits = jax.lax.dynamic_slice_in_dim(self.bits, first, size)
        return type(self)(bits, jax.lax.dynamic_slice_in_dim(self.scale, first, size))

    def dense(self) -> Float[Array, "rows width"]:
        """All of it, f32."""
        return (
            _widened(jnp.asarray(self.bits)) * jnp.asarray(self.scale).astype(jnp.float32)[:, None]
        )


def quantize(matrix: Float[Array, "rows width"]) -> Float8Rows:
    """The nearest 8-bit floats of rows whose largest magnitude is LARGEST; a row of zeros stays."""
    scale = steps.scale(matrix, LARGEST, axis=-1)
    values = steps.steps(matrix, scale, LARGEST).astype(_TYPE)
    bits = jax.lax.bitcast_convert_type(values, jnp.uint8)
    return Float8Rows(bits, scale[..., 0].astype(jnp.bfloat16))


def _widened(bits: Array) -> Float[Array, "..."]:
    return jax.lax.bitcast_convert_type(bits, _TYPE).astype(jnp.float32)
