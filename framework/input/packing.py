"""Several histories in one row of a batch, so that few positions are padding.

Histories are packed block by block of the dataset, and how many rows a block fills depends on the
lengths of its histories alone: so an epoch has as many rows as any other, and example p of the
endless sequence is still a pure function of (dataset, seed, p). Which of the histories of one
length goes where is drawn anew in each epoch.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from podway.framework.error import check
from podway.framework.input.columns import Columns, Ragged
from podway.framework.input.dataset import Blocks

SEGMENT = "segment"
"""A column of packed batches, i32 [batch, length]: of each position which of the row's histories
stands there, counted from 1; 0 where none does."""


@dataclasses.dataclass(frozen=True)
class Packing:
    """Where histories lie in rows.

    Attributes:
      length: of a row.
      rows: how many there are.
      order: histories, in the order of the following.
      row, place, number: of each history its row, where in it it starts, which of the row's it is.
      filled: bool [histories, length], the values that each has.
    """

    length: int
    rows: int
    order: np.ndarray
    row: np.ndarray
    place: np.ndarray
    number: np.ndarray
    filled: np.ndarray

    def fill(self, values: np.ndarray) -> np.ndarray:
        """[histories in `order`, length, …], each padded at its end → [rows, length, …]."""
        at = (self.row * self.length + self.place)[:, None] + np.arange(self.length)
        packed = np.zeros((self.rows * self.length, *values.shape[2:]), values.dtype)
        packed[at[self.filled]] = values[self.filled]
        return packed.reshape(self.rows, self.length, *values.shape[2:])

    def segments(self) -> np.ndarray:
        """The column SEGMENT."""
        numbers = np.broadcast_to(self.number[:, None], self.filled.shape)
        return self.fill(numbers.astype(np.int32))


def pack(
    lengths: np.ndarray, blocks: Sequence[int], length: int, generator: np.random.Generator
) -> Packing:
    """Packs the histories of blocks, each block for itself; the rows lie in random order.

    Args:
      lengths: of all histories, of which `length` values are read at most.
      blocks: how many of these histories each block has, in order.
      length: of a row.
      generator: draws the order of rows, and of histories of one length.
    """
    lengths = np.minimum(lengths, length)
    orders, places, rows, first = [], [], 0, 0
    for size in blocks:
        own = lengths[first : first + size]
        order = np.lexsort((generator.random(size), -own))
        taken = rows_of(own[order], length)
        orders.append(first + order)
        places.append(rows + taken)
        rows, first = rows + _count(taken), first + size
    order, row = np.concatenate(orders), generator.permutation(rows)[np.concatenate(places)]
    by_row = np.argsort(row, kind="stable")
    order, row = order[by_row], row[by_row]
    counts = lengths[order]
    ends, starts = np.cumsum(counts), np.searchsorted(row, row)
    place = ends - counts - (ends - counts)[starts]
    number = 1 + np.arange(len(row)) - starts
    return Packing(length, rows, order, row, place, number, np.arange(length) < counts[:, None])


def rows_of(lengths: np.ndarray, length: int) -> np.ndarray:
    """The row that each history goes to: of those with room for it the one with the least.

    (Best fit; of histories that come by falling length at most 11/9 of the fewest rows, and 1.)

    Args:
      lengths: of the histories, falling, `length` at most.
      length: of a row.
    """
    found = np.empty(len(lengths), np.int64)
    by_room: list[list[int]] = [[] for _ in range(length + 1)]
    rows, rooms = 0, 0  # Bit r of `rooms`: there is a row with room for r.
    for at, own in enumerate(lengths.tolist()):
        fitting = rooms >> own
        if fitting:
            room = own + (fitting & -fitting).bit_length() - 1
            row = by_room[room].pop()
            rooms ^= (not by_room[room]) << room
        else:
            row, room, rows = rows, length, rows + 1
        by_room[room - own].append(row)
        rooms |= 1 << (room - own)
        found[at] = row
    return found


def count_rows(blocks: Blocks, name: str, length: int) -> np.ndarray:
    """How many rows the histories of each block fill. Reads the column `name` of all blocks."""
    counts = []
    for index in range(len(blocks.rows)):
        own = np.minimum(history_lengths(blocks.read(np.array([index]), [name])), length)
        counts.append(_count(rows_of(-np.sort(-own), length)))
    return np.array(counts, np.int64)


def history_lengths(columns: Columns) -> np.ndarray:
    """How many values each history has."""
    column = next(iter(columns.values()))
    assert isinstance(column, Ragged)
    return np.diff(column.offsets)


def row_length(lengths: Mapping[str, int], ragged: Mapping[str, bool]) -> int:
    """The length of a packed row. Raises ConfigError where columns cannot be packed."""
    flat = sorted(name for name in lengths if not ragged[name])
    check(
        not flat and len(set(lengths.values())) == 1,
        "trainer.pack puts several histories into a row, and this model reads more than lists of"
        f" one length ({', '.join(flat) or dict(lengths)}): set trainer.pack to False",
    )
    return next(iter(lengths.values()))


def _count(rows: np.ndarray) -> int:
    return int(rows.max(initial=-1)) + 1
