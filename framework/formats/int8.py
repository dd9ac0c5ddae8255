"""8-bit integers: rows with a scale each, for tables, and kernels with a scale for each column.

By rows as Guan et al. 2019 (arXiv:1911.02079); of a layer's weights by output (Jacob et al. 2018,
arXiv:1712.05877).
"""

import dataclasses
from typing import Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, BFloat16, Float, Int, Int8

from podway.framework.formats import steps
from podway.framework.formats.matrix import Matrix, register

LARGEST = 127


@register
@dataclasses.dataclass(frozen=True)
class Int8Rows(Matrix):
    """values · scale, by rows."""

    name = "int8"

    values: Int8[Array, "rows width"]
    scale: BFloat16[Array, " rows"]

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and width."""
        return tuple(self.values.shape)

    def rows(self, ids: Int[Array, "..."]) -> Float[Array, "... width"]:
        """Some rows, f32."""
        scale = jnp.asarray(self.scale)[ids].astype(jnp.float32)
        return jnp.asarray(self.values)[ids].astype(jnp.float32) * scale[..., None]

    def part(self, first: Int[Array, ""] | int, size: int) -> Self:
        """Consecutive rows."""
        values = jax.lax.dynamic_slice_in_dim(self.values, first, size)
        return type(self)(values, jax.lax.dynamic_slice_in_dim(self.scale, first, size))

    def dense(self) -> Float[Array, "rows width"]:
        """All of it, f32."""
        return _widened(self.values) * _widened(self.scale)[:, None]

    def block_product(self, x: Float[Array, "batch width"]) -> Float[Array, "batch rows"]:
        """The scale comes last: one factor for each product, rather than for each number."""
        return jnp.matmul(x.astype(jnp.float32), _widened(self.values).T) * _widened(self.scale)

    def block_mix(self, weights: Float[Array, "batch rows"]) -> Float[Array, "batch width"]:
        """The scale comes first, to the weights."""
        return jnp.matmul(weights * _widened(self.scale), _widened(self.values))


@register
@dataclasses.dataclass(frozen=True)
class Int8Kernel(Matrix):
    """values · scale, by columns: of a layer's weights [..., inputs, outputs] one for each output.

    Of any rank from two; a layer of a stacked kernel is a kernel.
    """

    name = "int8_kernel"

    values: Int8[Array, "*stack inputs outputs"]
    scale: BFloat16[Array, "*stack 1 outputs"]

    @property
    def shape(self) -> tuple[int, ...]:
        """The weights'."""
        return tuple(self.values.shape)

    def rows(self, ids: Int[Array, "..."]) -> Float[Array, "... width"]:
        """Some rows of a kernel of two dimensions, f32."""
        return jnp.asarray(self.values)[ids].astype(jnp.float32) * _widened(self.scale)[0]

    def part(self, first: Int[Array, ""] | int, size: int) -> Self:
        """Consecutive rows of a kernel of two dimensions."""
        return type(self)(jax.lax.dynamic_slice_in_dim(self.values, first, size), self.scale)

    def dense(self) -> Float[Array, "*stack inputs outputs"]:
        """All of it, f32."""
        return _widened(self.values) * _widened(self.scale)


def quantize(matrix: Float[Array, "rows width"]) -> Int8Rows:
    """The nearest int8 rows (round half to even); a row of zeros stays."""
    scale = steps.scale(matrix, LARGEST, axis=-1)
    values = jnp.rint(steps.steps(matrix, scale, LARGEST)).astype(jnp.int8)
    return Int8Rows(values, scale[..., 0].astype(jnp.bfloat16))


def quantize_kernel(kernel: Float[Array, "*stack inputs outputs"]) -> Int8Kernel:
    """The nearest int8 columns (round half to even); a column of zeros stays."""
    scale = steps.scale(kernel, LARGEST, axis=-2)
    values = jnp.rint(steps.steps(kernel, scale, LARGEST)).astype(jnp.int8)
    return Int8Kernel(values, scale.astype(jnp.bfloat16))


def _widened(array: Array) -> Float[Array, "..."]:
    return jnp.asarray(array).astype(jnp.float32)
