"""Rows of 4-bit integers, two in a byte, with a scale for each group of a row's values.

From −7 to 7, stored with 8 added. A byte has a value of the row's first half in its lower four bits
and that of the second half in its upper four, so that nothing is interleaved.
"""

import dataclasses
from typing import ClassVar, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, BFloat16, Float, Int, Int8, UInt8

from podway.framework.error import check
from podway.framework.formats import steps
from podway.framework.formats.matrix import Matrix, register

LARGEST = 7
_OFFSET = 8


@register
@dataclasses.dataclass(frozen=True)
class Int4Rows(Matrix):
    """values · scale, by groups of a row's values; of an even width."""

    name = "int4"
    unused: ClassVar[int] = 0
    """Values of the last byte that are none."""

    values: UInt8[Array, "rows bytes"]
    scale: BFloat16[Array, "rows groups"]

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and width."""
        return self.values.shape[0], 2 * self.values.shape[1] - self.unused

    def rows(self, ids: Int[Array, "..."]) -> Float[Array, "... width"]:
        """Some rows, f32."""
        return self._read(jnp.asarray(self.values)[ids], jnp.asarray(self.scale)[ids])

    def part(self, first: Int[Array, ""] | int, size: int) -> Self:
        """Consecutive rows."""
        values = jax.lax.dynamic_slice_in_dim(self.values, first, size)
        return type(self)(values, jax.lax.dynamic_slice_in_dim(self.scale, first, size))

    def dense(self) -> Float[Array, "rows width"]:
        """All of it, f32."""
        return self._read(jnp.asarray(self.values), jnp.asarray(self.scale))

    def block_product(self, x: Float[Array, "batch width"]) -> Float[Array, "batch rows"]:
        """With one scale for a row, it comes last."""
        if self.scale.shape[1] != 1:
            return super().block_product(x)
        scale, rows = jnp.asarray(self.scale).astype(jnp.float32)[:, 0], x.shape[0]
        if isinstance(rows, int):
            sums = self._of_one(x) if rows == 1 else self._of_several(x)
        else:  # an export's, which is compiled for each number of rows, and then keeps one of them
            sums = jax.lax.cond(jnp.asarray(rows) == 1, self._of_one, self._of_several, x)
        return sums * scale

    def _of_one(self, x: Float[Array, "batch width"]) -> Float[Array, "batch rows"]:
        """x · valuesᵀ, which a compiler makes one loop of, with the unpacking in it."""
        values = unpack(jnp.asarray(self.values), self.shape[1]).astype(jnp.float32)
        return jnp.matmul(x.astype(jnp.float32), values.T)

    def _of_several(self, x: Float[Array, "batch width"]) -> Float[Array, "batch rows"]:
        """The same by the halves of a row: what is unpacked need not be put side by side."""
        packed, half = jnp.asarray(self.values), self.values.shape[1]
        x, high = x.astype(jnp.float32), (packed >> 4)[:, : self.shape[1] - half]
        first = jnp.matmul(x[:, :half], _signed(packed & 15).astype(jnp.float32).T)
        return first + jnp.matmul(x[:, half:], _signed(high).astype(jnp.float32).T)

    def _read(self, packed: Array, scale: Array) -> Float[Array, "... width"]:
        width, groups = self.shape[1], scale.shape[-1]
        values = unpack(packed, width).astype(jnp.float32)
        grouped = values.reshape(*values.shape[:-1], groups, width // groups)
        return (grouped * scale.astype(jnp.float32)[..., None]).reshape(values.shape)


@register
@dataclasses.dataclass(frozen=True)
class Int4OddRows(Int4Rows):
    """The same, of an odd width."""

    name = "int4_odd"
    unused: ClassVar[int] = 1


def quantize(matrix: Float[Array, "rows width"], group: int | None = None) -> Int4Rows:
    """The nearest 4-bit rows (round half to even); a group of zeros stays.

    `group` is how many values share a scale; None: a row. Raises ConfigError where it does not
    divide the width.
    """
    rows, width = matrix.shape
    group = group or width
    check(
        width % group == 0,
        f"compression.group is {group}, which does not divide a table's width of {width}",
    )
    grouped = jnp.asarray(matrix).reshape(rows, width // group, group)
    scale = steps.scale(grouped, LARGEST, axis=-1)
    values = jnp.rint(steps.steps(grouped, scale, LARGEST)).astype(jnp.int8)
    packed = pack(values.reshape(rows, width))
    return (Int4OddRows if width % 2 else Int4Rows)(packed, scale[..., 0].astype(jnp.bfloat16))


def pack(values: Int8[Array, "*rows width"]) -> UInt8[Array, "*rows bytes"]:
    """Values from −8 to 7, two in a byte; an odd width is filled up with a zero."""
    odd = values.shape[-1] % 2
    padded = jnp.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, odd)])
    low, high = jnp.split((padded + _OFFSET).astype(jnp.uint8), 2, axis=-1)
    return low | (high << 4)


def unpack(packed: UInt8[Array, "*rows bytes"], width: int) -> Int8[Array, "*rows width"]:
    """The inverse of `pack`."""
    low, high = packed & 15, packed >> 4
    return _signed(jnp.concatenate([low, high], axis=-1))[..., :width]


def _signed(stored: UInt8[Array, "..."]) -> Int8[Array, "..."]:
    return stored.astype(jnp.int8) - _OFFSET
