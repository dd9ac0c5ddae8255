"""Embedding tables: what one is, and where each of its rows lies.

A table is stored as [shards, rows per shard, width] and split among devices along the first
dimension alone; what an optimizer keeps as one number per row, as [shards · rows per shard].
`shards` is a power of two that depends on the table only, so the arrays, and with them a
checkpoint, are the same whatever the mesh. An id's place is

    (bit_reverse(id mod shards), id div shards)

Devices, too, come in powers of two: of n devices the one that holds an id is bit_reverse(id mod n).
Ids are numbered by falling frequency, so that each device has its share of the frequent ones. The
reversal makes one layout serve every n, and lets a table grow without moving rows between devices:
twice the shards split each shard into its even and its odd rows, which stay side by side.
"""

import dataclasses
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from podway.framework.embedding.optimizer import RowOptimizer, RowWiseAdagrad, Slot
from podway.framework.error import check

MAX_SHARDS = 8192
SHARD_ROWS = 16
"""A table has no more shards than give each this many rows."""
ROW_MULTIPLE = 8
"""Rows of a shard are rounded up to this, the sublanes of a TPU's tile."""
BLOCK_BYTES = 64 << 20
"""What is copied between the devices and the host at once."""


@dataclasses.dataclass(frozen=True)
class Embedding:
    """How an embedding table is kept, updated and read."""

    optimizer: RowOptimizer = RowWiseAdagrad()
    """How rows follow their gradients."""
    scale: float | None = None
    """Standard deviation of the initial rows; None: 1/√width."""
    placement: Literal["auto", "sharded", "replicated"] = "auto"
    """Whether each device holds some rows of the table, or all; auto: all of a table of up to
    16 MiB."""
    exchange: Literal["auto", "all_to_all", "two_hop", "ragged"] = "auto"
    """How rows travel from the devices that hold them: directly, by way of one other device, or
    directly without padding (not on CPU nor v5e); auto: by way of another one where that sends
    clearly less, which is so among thousands."""
    capacity_margin: float = 1.25
    """Room in the exchange's buffers, as a multiple of the distinct ids that the train split's
    counts let expect; more where training stops because of overflow."""

    def __post_init__(self):
        check(
            self.scale is None or self.scale >= 0,
            f"embedding.scale is {self.scale}; give 0 or more, or None",
        )
        check(
            self.capacity_margin > 0,
            f"embedding.capacity_margin is {self.capacity_margin}; give more than 0",
        )


@dataclasses.dataclass(frozen=True)
class Table:
    """An embedding table: ids 0 … rows − 1, of which 0 (PADDING) reads as zeros and never changes.

    Attributes:
      rows: number of ids.
      width: values in a row; multiples of 128 are what a TPU stores without padding.
      options: how it is kept.
    """

    rows: int
    width: int
    options: Embedding = Embedding()

    def __post_init__(self):
        check(self.rows >= 1, f"embedding.rows is {self.rows}; give 1 or more")
        check(self.width >= 1, f"embedding.width is {self.width}; give 1 or more")
        check(
            math.prod(self.shape[:2]) < 2**31,
            f"embedding.rows is {self.rows}; ids are 32-bit numbers, give less than 2³¹ rows",
        )

    @property
    def shards(self) -> int:
        """Pieces that the table can be split into: a power of two."""
        most = min(MAX_SHARDS, max(self.rows // SHARD_ROWS, 1))
        return 1 << (most.bit_length() - 1)

    @property
    def shard_rows(self) -> int:
        """Rows of a shard, those that no id has included."""
        rows = -(-self.rows // self.shards)
        return -(-rows // ROW_MULTIPLE) * ROW_MULTIPLE

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the stored array."""
        return self.shards, self.shard_rows, self.width

    @property
    def places(self) -> int:
        """Rows that are stored, those that no id has included."""
        return self.shards * self.shard_rows

    @property
    def bytes(self) -> int:
        """Of the stored array, without its slots."""
        return 4 * math.prod(self.shape)

    def place(self, ids: Int[Array, " count"]) -> tuple[Int[Array, " count"], Int[Array, " count"]]:
        """Shard and row in the shard of each id."""
        return bit_reverse(ids % self.shards, self.shards), ids // self.shards

    def slots(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes of the optimizer's arrays, by name: as the table's, or [places]."""
        return {
            name: jax.ShapeDtypeStruct(self.shape if slot.wide else (self.places,), jnp.float32)
            for name, slot in self.options.optimizer.slots().items()
        }


def initialize(table: Table, key: Array) -> Float[Array, "shards shard_rows width"]:
    """Fresh rows, normally distributed; that of PADDING is zeros. Jit it with the sharding."""
    scale = table.width**-0.5 if table.options.scale is None else table.options.scale
    rows = scale * jax.random.normal(key, table.shape, jnp.float32)
    return jnp.where((ids(table) == 0)[:, :, None], 0.0, rows)


def initialize_slots(table: Table) -> dict[str, Array]:
    """The optimizer's arrays before the first step, by name."""
    initial: dict[str, Slot] = table.options.optimizer.slots()
    return {
        name: jnp.full(shape.shape, initial[name].initial, shape.dtype)
        for name, shape in table.slots().items()
    }


def ids(table: Table) -> Int[Array, "shards shard_rows"]:
    """The id of each place; `table.rows` or more where there is none."""
    shard = jnp.asarray(bit_reverse(np.arange(table.shards), table.shards))
    return shard[:, None] + jnp.arange(table.shard_rows) * table.shards


def bit_reverse(values: Any, size: int) -> Any:
    """Each value's bits in reverse, of as many as `size`, a power of two, needs."""
    result = values * 0
    for _ in range(size.bit_length() - 1):
        result = (result << 1) | (values & 1)
        values = values >> 1
    return result


def grow(old: Table, new: Table, stored: Array, fresh: Array) -> Array:
    """A table's array, or that of a slot, for more ids.

    Args:
      old: the table before.
      new: the table after, with as many rows or more.
      stored: the old array.
      fresh: what new ids start with: an array for the new table.
    """
    check(
        new.rows >= old.rows and new.width == old.width,
        f"embedding.rows is {new.rows} × {new.width}, but {old.rows} × {old.width} are stored; a"
        " vocabulary can only grow",
    )
    factor = new.shards // old.shards
    # Row r of a shard goes to the new shard of r's low bits, which stand reversed.
    kept = _pad_rows(stored.reshape(old.shards, old.shard_rows, -1), factor)
    kept = kept.reshape(old.shards, -1, factor, kept.shape[2])
    kept = kept[:, :, bit_reverse(np.arange(factor), factor)]
    kept = jnp.moveaxis(kept, 2, 1).reshape(new.shards, -1, kept.shape[3])
    kept = _pad_rows(kept[:, : new.shard_rows], new.shard_rows)
    start = fresh.reshape(*new.shape[:2], -1)
    return jnp.where((ids(new) < old.rows)[:, :, None], kept, start).reshape(fresh.shape)


def _pad_rows(array: Array, multiple: int) -> Array:
    return jnp.pad(array, ((0, 0), (0, -array.shape[1] % multiple), (0, 0)))


def in_order(table: Table, stored: Array) -> Float[Array, "rows width"]:
    """A stored array in the order of ids, on the devices; pure."""
    shards = stored[bit_reverse(np.arange(table.shards), table.shards)]
    return jnp.moveaxis(shards, 0, 1).reshape(-1, table.width)[: table.rows]


def to_dense(table: Table, stored: Any) -> np.ndarray:
    """A stored array in the order of ids, on the host: [rows, width]; of a slot, maybe [rows].

    Read block by block from wherever it lies (`stored` may be a NumPy array too), so that no
    device ever holds the whole. Raises ValueError where parts lie with other processes.
    """
    pieces = [(0, stored)]
    if isinstance(stored, jax.Array):
        if not stored.is_fully_addressable:
            raise ValueError("the table is spread over processes; read it from a checkpoint")
        pieces = [(shard.index[0].start or 0, shard.data) for shard in stored.addressable_shards]
    per_shard = len(stored) // table.shards
    block = max(1, BLOCK_BYTES // (4 * table.shard_rows * table.width)) * per_shard
    tail = stored.shape[2:]
    dense = np.empty((table.shard_rows, table.shards, *tail), stored.dtype)
    for start, data in dict(pieces).items():
        for at in range(0, len(data), block):
            rows = np.asarray(data[at : at + block]).reshape(-1, table.shard_rows, *tail)
            shards = (start + at) // per_shard + np.arange(len(rows))
            dense[:, bit_reverse(shards, table.shards)] = np.moveaxis(rows, 0, 1)
    return dense.reshape(-1, *tail)[: table.rows]


def from_dense(table: Table, dense: Any) -> np.ndarray:
    """The inverse of `to_dense`, on the host; places that no id has hold zeros."""
    check(
        len(dense) == table.rows,
        f"embedding.rows is {table.rows}, but there are {len(dense)} rows to store",
    )
    stored = np.zeros((*table.shape[:2], *dense.shape[1:]), dense.dtype)
    for shard, first in enumerate(bit_reverse(np.arange(table.shards), table.shards)):
        rows = dense[first :: table.shards]
        stored[shard, : len(rows)] = rows
    return stored if dense.ndim > 1 else stored.reshape(-1)
