"""Rows of 8-bit integers, each with a scale of its own.

Symmetric: a row's largest magnitude is 127, so zero stays zero (Jacob et al. 2018,
arXiv:1712.05877, without zero points; by rows as Guan et al. 2019, arXiv:1911.02079).
"""

import dataclasses
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int8

from podway.framework.formats.matrix import Matrix, register

LARGEST = 127


@register
@dataclasses.dataclass(frozen=True)
class Int8Rows(Matrix):
    """values · scale, by rows."""

    name = "int8"

    values: Int8[Array, "rows width"]
    scale: Float[Array, " rows"]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and width."""
        return self.values.shape[0], self.values.shape[1]

    def rows(self, ids: Int[Array, "..."]) -> Float[Array, "... width"]:
        """Some rows, f32."""
        return self.values[ids].astype(jnp.float32) * self.scale[ids][..., None]

    def part(self, first: Int[Array, ""] | int, size: int) -> Self:
        """Consecutive rows."""
        values = jax.lax.dynamic_slice_in_dim(self.values, first, size)
        return type(self)(values, jax.lax.dynamic_slice_in_dim(self.scale, first, size))

    def dense(self) -> Float[Array, "rows width"]:
        """All of it, f32."""
        return self.values.astype(jnp.float32) * self.scale[:, None]

    def block_product(self, x: Float[Array, "batch width"]) -> Float[Array, "batch rows"]:
        """The scale comes last: one factor for each product, rather than for each number."""
        products = jnp.matmul(x, self.values.T.astype(jnp.float32))
        return products * self.scale


def quantize(matrix: np.ndarray) -> Int8Rows:
    """The nearest int8 rows (round half to even) of f32 [rows, width]; a row of zeros stays."""
    matrix = np.asarray(matrix, np.float32)
    scale = np.abs(matrix).max(axis=1, initial=0.0) / LARGEST
    inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
    values = np.clip(np.rint(matrix * inverse[:, None]), -LARGEST, LARGEST)
    return Int8Rows(values.astype(np.int8), scale.astype(np.float32))  # type: ignore[arg-type]
