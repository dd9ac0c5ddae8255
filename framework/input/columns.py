"""Columns of examples in memory, and how lists become arrays of one shape."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from podway.framework.schema.schema import PADDING, SchemaError

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Ragged:
    """A list per row: row r holds values[offsets[r]:offsets[r + 1]].

    Attributes:
      values: [values] or, for lists of vectors, [values, width].
      offsets: int64 [rows + 1].
    """

    values: np.ndarray
    offsets: np.ndarray

    def latest(self, length: int, rows: np.ndarray, back: np.ndarray | float = 0) -> "Stretches":
        """The last `length` values of each of `rows`, an array of row numbers.

        `back`, from 0 to below 1 for each of `rows`, says how far back of the last stretch to read,
        in shares of what is longer than `length`.
        """
        begin, end = self.offsets[rows], self.offsets[rows + 1]
        end = end - (back * (np.maximum(end - begin - length, 0) + 1)).astype(np.int64)
        start = np.maximum(begin, end - length)
        return Stretches(_places(self.values, length), start, end - start)

    def where(self, stay: np.ndarray) -> "Ragged":
        """The lists with only the values for which `stay`, bool [values], holds."""
        before = np.concatenate([[0], np.cumsum(stay)])
        return Ragged(self.values[stay], before[self.offsets])

    def first(self, length: int) -> "Stretches":
        """The first `length` values of each row."""
        start, end = self.offsets[:-1], self.offsets[1:]
        return Stretches(_places(self.values, length), start, np.minimum(end - start, length))


@dataclasses.dataclass(frozen=True)
class Stretches:
    """One stretch of values per row; indexed like an array [rows, length, …], padded at the end.

    Attributes:
      places: [values, length, …], a view: the `length` values from each place on.
      start: where each row's stretch starts, [rows].
      count: how many values it has, [rows].
    """

    places: np.ndarray
    start: np.ndarray
    count: np.ndarray

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, rows: slice) -> np.ndarray:
        taken = self.places[self.start[rows]]
        taken[np.arange(taken.shape[1]) >= self.count[rows, None]] = PADDING
        return taken


def _places(values: np.ndarray, length: int) -> np.ndarray:
    """[values + 1, length, …]: whole rows of it are copied, rather than one value after another."""
    spare = np.full((length, *values.shape[1:]), PADDING, values.dtype)
    values = np.concatenate([values, spare])
    places = np.lib.stride_tricks.sliding_window_view(values, length, axis=0)
    return places if values.ndim == 1 else np.moveaxis(places, -1, 1)


Columns = dict[str, np.ndarray | Ragged]
"""Fixed-width ones are [rows] or [rows, width]."""


def elapsed(times: Ragged) -> Ragged:
    """Times (i64, microseconds) → whole seconds since the first one of their list, i32.

    What devices of 32 bits can hold of a time: differences stay what they are, to 68 years, where
    i32 ends. None depends on a later event.
    """
    seconds = times.values // 1_000_000
    first = np.append(seconds, 0)[times.offsets[:-1]]
    since = seconds - np.repeat(first, np.diff(times.offsets))
    return Ragged(since.clip(0, np.iinfo(np.int32).max).astype(np.int32), times.offsets)


def from_arrow(name: str, parts: Sequence[pa.Array]) -> np.ndarray | Ragged:
    """One column of parts that follow each other. Raises SchemaError for types that are not read.

    Numbers, fixed-size lists of numbers, and lists of either.
    """
    kind = parts[0].type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return np.concatenate([_numbers(name, part) for part in parts])
    lengths = [np.diff(part.offsets.to_numpy()) for part in parts]
    return Ragged(
        np.concatenate([_numbers(name, part.flatten()) for part in parts]),
        np.concatenate([[0], *lengths]).cumsum(dtype=np.int64),
    )


def _numbers(name: str, array: pa.Array) -> np.ndarray:
    if pa.types.is_fixed_size_list(array.type):
        return _numbers(name, array.flatten()).reshape(len(array), array.type.list_size)
    if not pa.types.is_primitive(array.type):
        raise SchemaError(f"the column {name} is of {array.type}; give numbers or lists of them")
    return array.to_numpy(zero_copy_only=False)


def concatenate(parts: Sequence[Arrays]) -> Arrays:
    """Rows of all parts; one part alone is not copied."""
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
