"""Matrices that are stored in fewer bytes than f32, and what models compute with them.

Among the parameters, path → array, such a matrix is several arrays below its own path:
"item/embedding/int8/values" and "item/embedding/int8/scale". An array of a format may itself be in
one: "item/embedding/low_rank/left/int8/values". `collect` makes objects of them, which the model
reads by the functions here; they take plain arrays, too. A table that is only read row by
row, or multiplied with, is never whole in memory.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

BLOCK = 1024
"""Rows that are widened to f32 at a time."""


class Matrix:
    """The base of all formats: [rows, width], standing for f32; or a layer's weights of any rank.

    A format is a frozen dataclass of its arrays, registered by `register`.
    """

    name: ClassVar[str]
    """What it is called in paths."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and width; of a kernel that of its weights."""
        raise NotImplementedError

    @property
    def dtype(self) -> Any:
        """Of what it stands for."""
        return jnp.dtype(jnp.float32)

    @property
    def ndim(self) -> int:
        """Two for a table."""
        return len(self.shape)

    def __getitem__(self, key: Any) -> Self:
        """Itself, for `[...]`, by which modules read a parameter whole."""
        if key is not Ellipsis:
            raise TypeError(f"a {type(self).__name__} is read by framework.formats, not by [{key}]")
        return self

    def rows(self, ids: Int[Array, "..."]) -> Float[Array, "... width"]:
        """Some rows, f32."""
        raise NotImplementedError

    def part(self, first: Int[Array, ""] | int, size: int) -> Self:
        """`size` rows from `first` on, in the same format."""
        raise NotImplementedError

    def dense(self) -> Float[Array, "rows width"]:
        """All of it, f32."""
        raise NotImplementedError

    def product(self, x: Float[Array, "*batch width"]) -> Float[Array, "*batch rows"]:
        """x · tableᵀ, f32, with BLOCK rows widened at a time."""
        rows = self.shape[0]
        block = min(BLOCK, rows)
        flat = x.reshape(-1, x.shape[-1])

        def fill(number: Array, out: Array) -> Array:
            # The last block begins early, and writes some products a second time.
            first = jnp.minimum(number * block, rows - block)
            return jax.lax.dynamic_update_slice_in_dim(
                out, self.part(first, block).block_product(flat), first, axis=1
            )

        empty = jnp.zeros((flat.shape[0], rows), jnp.float32)
        out = jax.lax.fori_loop(0, -(-rows // block), fill, empty)
        return out.reshape(*x.shape[:-1], rows)

    def block_product(self, x: Float[Array, "batch width"]) -> Float[Array, "batch rows"]:
        """x · tableᵀ of a part that may be widened, f32."""
        return jnp.matmul(x, self.dense().T, preferred_element_type=jnp.float32)

    def mix(self, weights: Float[Array, "batch rows"]) -> Float[Array, "batch width"]:
        """weights · table, f32, with BLOCK rows widened at a time."""
        rows = self.shape[0]
        block = min(BLOCK, rows)

        def add(number: Array, out: Array) -> Array:
            first = jnp.minimum(number * block, rows - block)
            own = jax.lax.dynamic_slice_in_dim(weights, first, block, axis=1)
            # The last block begins early, with rows that the one before has had.
            own = jnp.where(first + jnp.arange(block) >= number * block, own, 0.0)
            return out + self.part(first, block).block_mix(own)

        empty = jnp.zeros((weights.shape[0], self.shape[1]), jnp.float32)
        return jax.lax.fori_loop(0, -(-rows // block), add, empty)

    def block_mix(self, weights: Float[Array, "batch rows"]) -> Float[Array, "batch width"]:
        """weights · table of a part that may be widened, f32."""
        return jnp.matmul(weights, self.dense(), preferred_element_type=jnp.float32)


Table = Array | Matrix
F = TypeVar("F", bound=Matrix)
FORMATS: dict[str, type[Matrix]] = {}
"""By the name in paths."""


def register(cls: type[F]) -> type[F]:
    """A class decorator: a format, whose fields are its arrays."""
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    FORMATS[cls.name] = cls
    return jax.tree_util.register_dataclass(cls, data_fields=names, meta_fields=[])


def collect(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with an object for each matrix in a format of its own."""
    found = dict(parameters)
    for depth in range(max(map(_depth, found), default=0), 0, -1):  # the innermost ones first
        parts: dict[tuple[str, str], dict[str, Any]] = {}
        for path in [path for path in found if _depth(path) == depth]:
            owner, name, field = path.rsplit("/", 2)
            parts.setdefault((owner, name), {})[field] = found.pop(path)
        found |= {owner: FORMATS[name](**arrays) for (owner, name), arrays in parts.items()}
    return found


def _depth(path: str) -> int:
    """How many formats an array is in, one inside the other."""
    return sum(part in FORMATS for part in path.split("/")[:-1])


def spread(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `collect`: path → array."""
    found: dict[str, Any] = {}
    for path, value in parameters.items():
        if isinstance(value, Matrix):
            fields = dataclasses.fields(value)  # type: ignore[arg-type]
            own = f"{path}/{value.name}"
            found |= spread({f"{own}/{each.name}": getattr(value, each.name) for each in fields})
        else:
            found[path] = value
    return found


def rows(table: Table, ids: Int[Array, "..."]) -> Float[Array, "... width"]:
    """Rows of a table."""
    return table.rows(ids) if isinstance(table, Matrix) else table[ids]


def part(table: Table, first: Int[Array, ""] | int, size: int) -> Table:
    """`size` rows of a table from `first` on."""
    if isinstance(table, Matrix):
        return table.part(first, size)
    return jax.lax.dynamic_slice_in_dim(table, first, size)


def product(x: Float[Array, "*batch width"], table: Table) -> Float[Array, "*batch rows"]:
    """x · tableᵀ, f32."""
    if isinstance(table, Matrix):
        return table.product(x)
    return jnp.matmul(x, table.T, preferred_element_type=jnp.float32)


def mix(weights: Float[Array, "batch rows"], table: Table) -> Float[Array, "batch width"]:
    """weights · table, f32: sums of rows."""
    if isinstance(table, Matrix):
        return table.mix(weights)
    return jnp.matmul(weights, table, preferred_element_type=jnp.float32)


def dense(table: Any) -> Array:
    """A parameter as an array."""
    return table.dense() if isinstance(table, Matrix) else table
