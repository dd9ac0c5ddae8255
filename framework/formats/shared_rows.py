"""A table many of whose rows are one and the same: those of rare values."""

import dataclasses
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from podway.framework.formats import matrix
from podway.framework.formats.matrix import Matrix, Table, register


@register
@dataclasses.dataclass(frozen=True)
class SharedRows(Matrix):
    """table[place]: of each row, which row of a smaller table it is. That table may itself be in a
    format of fewer bytes."""

    name = "shared_rows"

    place: Int[Array, " rows"]
    table: Table

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and width."""
        return self.place.shape[0], self.table.shape[1]

    def rows(self, ids: Int[Array, "..."]) -> Float[Array, "... width"]:
        """Some rows, f32."""
        return matrix.rows(self.table, self.place[ids])

    def part(self, first: Int[Array, ""] | int, size: int) -> Self:
        """Consecutive rows."""
        place = jax.lax.dynamic_slice_in_dim(self.place, first, size)
        return type(self)(place, self.table)

    def dense(self) -> Float[Array, "rows width"]:
        """All of it, f32."""
        return matrix.rows(self.table, self.place)

    def product(self, x: Float[Array, "*batch width"]) -> Float[Array, "*batch rows"]:
        """Products with the rows that there are, each taken as often as it is shared."""
        if self.shape[0] < self.table.shape[0]:  # of a part not many of them are needed
            return super().product(x)
        return jnp.take(matrix.product(x, self.table), self.place, axis=-1)


def share(table: np.ndarray, shared: np.ndarray, weights: np.ndarray) -> SharedRows:
    """The table with one row for all that are `shared`, behind the others.

    Args:
      table: f32 [rows, width].
      shared: bool [rows].
      weights: [rows]; the common row is the mean of theirs by these, or where all are 0 the plain
        one.
    """
    table = np.asarray(table, np.float32)
    kept = np.flatnonzero(~shared)
    if len(kept) == len(table):
        return SharedRows(np.arange(len(table), dtype=np.int32), table)  # type: ignore[arg-type]
    place = np.full(len(table), len(kept), np.int32)
    place[kept] = np.arange(len(kept), dtype=np.int32)
    own = weights[shared].astype(np.float64)
    own = own if own.sum() > 0 else np.ones_like(own)
    mean = (table[shared].astype(np.float64) * own[:, None]).sum(0) / own.sum()
    rows = np.concatenate([table[kept], mean[None].astype(np.float32)])
    return SharedRows(place, rows)  # type: ignore[arg-type]
