"""A matrix as the product of two narrow ones: what a singular value decomposition leaves.

Of all matrices of that rank, the first singular vectors make the nearest (Eckart & Young 1936).
"""

import dataclasses
from typing import Any, Self

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from podway.framework.formats import matrix
from podway.framework.formats.matrix import Matrix, Table, register


@register
@dataclasses.dataclass(frozen=True)
class LowRank(Matrix):
    """left · right; `left`, which has the rows, may itself be in a format of fewer bytes."""

    name = "low_rank"

    left: Table
    right: Float[Array, "rank width"]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and width."""
        return self.left.shape[0], self.right.shape[1]

    def rows(self, ids: Int[Array, "..."]) -> Float[Array, "... width"]:
        """Some rows, f32."""
        return jnp.matmul(matrix.rows(self.left, ids), self.right)

    def part(self, first: Int[Array, ""] | int, size: int) -> Self:
        """Consecutive rows."""
        return type(self)(matrix.part(self.left, first, size), self.right)

    def dense(self) -> Float[Array, "rows width"]:
        """All of it, f32."""
        return jnp.matmul(matrix.dense(self.left), self.right)

    def product(self, x: Float[Array, "*batch width"]) -> Float[Array, "*batch rows"]:
        """(x · rightᵀ) · leftᵀ: fewer products than with the whole matrix."""
        narrow = jnp.matmul(x, self.right.T, preferred_element_type=jnp.float32)
        return matrix.product(narrow, self.left)


def decompose(table: np.ndarray, rank: int) -> LowRank:
    """The nearest matrix of this rank, by its singular value decomposition (in f64).

    The singular values are shared evenly: rows of either factor are about as large.
    """
    left, values, right = np.linalg.svd(np.asarray(table, np.float64), full_matrices=False)
    root = np.sqrt(values[:rank])
    found: list[Any] = [left[:, :rank] * root, root[:, None] * right[:rank]]
    return LowRank(*(each.astype(np.float32) for each in found))
