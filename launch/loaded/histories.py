"""Histories that are asked about: a client's ids → ids of the vocabulary, and what was unknown."""

from __future__ import annotations

import dataclasses
import functools
import numbers
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from podway.framework.schema.schema import FIRST_VALUE, OUT_OF_VOCABULARY, PADDING
from podway.launch.loaded.error import RequestError, require


@dataclasses.dataclass(frozen=True)
class Items:
    """The items of a model.

    Attributes:
      values: one per id; the two kept rows hold "".
    """

    values: tuple[str, ...]

    @functools.cached_property
    def ids(self) -> dict[str, int]:
        """Value → id, the kept rows left out."""
        return {value: row for row, value in enumerate(self.values) if row >= FIRST_VALUE}

    def texts(self, ids: np.ndarray) -> np.ndarray:
        """The values of ids, object of the same shape."""
        return self._array[ids]

    @functools.cached_property
    def _array(self) -> np.ndarray:
        return np.array(self.values, object)


@dataclasses.dataclass(frozen=True)
class Histories:
    """Some histories, oldest event first.

    Attributes:
      ids: int32 [events], history after history; OUT_OF_VOCABULARY where the model lacks the item.
      offsets: int64 [histories + 1]; history h has the events offsets[h] to offsets[h + 1].
      times: int64 [events], whole seconds since 1970; None: the model reads none.
      names: of the users whose histories these are, or None.
    """

    ids: np.ndarray
    offsets: np.ndarray
    times: np.ndarray | None = None
    names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def unknown(self) -> np.ndarray:
        """How many items of each history the model lacks, int64 [histories]."""
        before = np.append(0, np.cumsum(self.ids == OUT_OF_VOCABULARY))
        return np.diff(before[self.offsets])

    @property
    def answerable(self) -> np.ndarray:
        """Which histories have an item that the model knows, bool [histories]."""
        return np.diff(self.offsets) > self.unknown

    def __getitem__(self, chosen: slice) -> Histories:
        """Consecutive ones."""
        first, last, _ = chosen.indices(len(self))
        start, end = int(self.offsets[first]), int(self.offsets[max(last, first)])
        return Histories(
            self.ids[start:end],
            self.offsets[first : max(last, first) + 1] - start,
            None if self.times is None else self.times[start:end],
            None if self.names is None else self.names[first:last],
        )

    def latest(self, length: int, *, unknown: bool) -> Iterator[np.ndarray]:
        """The latest events that a model is given: ids, int32 [histories, length], padded at the
        end; where there are times, also the seconds since the first of these events, int32.

        `unknown` says whether OUT_OF_VOCABULARY is among them, or left out first.
        """
        stays = self.ids != OUT_OF_VOCABULARY if not unknown else np.ones(len(self.ids), bool)
        counts = np.diff(np.append(0, np.cumsum(stays))[self.offsets])
        owner = np.repeat(np.arange(len(self)), counts)
        from_start = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        place = from_start - np.maximum(counts - length, 0)[owner]
        read = place >= 0
        owner, place = owner[read], place[read]
        columns = [self.ids[stays][read]]
        if self.times is not None:
            times = self.times[stays][read]
            first = np.zeros(len(self), np.int64)
            first[owner[place == 0]] = times[place == 0]
            columns.append(np.clip(times - first[owner], 0, np.iinfo(np.int32).max))
        for column in columns:
            array = np.full((len(self), length), PADDING, np.int32)
            array[owner, place] = column
            yield array


def join(parts: Sequence[Histories]) -> Histories:
    """All histories of the parts, in order."""
    lengths = np.concatenate([np.diff(part.offsets) for part in parts])
    times = [part.times for part in parts if part.times is not None]
    names = [part.names for part in parts if part.names is not None]
    return Histories(
        np.concatenate([part.ids for part in parts]),
        np.append(0, np.cumsum(lengths)),
        np.concatenate(times) if times else None,
        tuple(name for part in names for name in part) if names else None,
    )


def lists(given: Any) -> Iterator[Sequence[Any]]:
    """The histories. Raises RequestError for what is no list of lists."""
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise RequestError(
            f"histories is {given!r}; give a list of histories, each a list of item ids"
        )
    for number, history in enumerate(given):
        if isinstance(history, str | bytes) or not isinstance(history, Iterable):
            raise RequestError(
                f"history {number} is {history!r}, not a list of item ids; give histories as a list"
                " of lists, [['a', 'b'], ['c']], or users=[…] where these are user ids"
            )
        yield list(history)


def of_values(
    histories: Iterable[Sequence[Any]],
    items: Items,
    times: Iterable[Sequence[Any]] | None,
    *,
    timed: bool,
    names: Sequence[str] | None = None,
) -> Histories:
    """Histories of item ids as the raw data have them.

    Args:
      histories: of text or whole numbers, oldest first.
      items: of the model.
      times: whole seconds since 1970 of each event, where the model reads them.
      timed: whether it does.
      names: what to call the histories.

    Raises RequestError: what is no history, or times that don't belong to these.
    """
    ids, lengths = [], []
    for number, history in enumerate(histories):
        values = [text_of(value, f"history {number}") for value in history]
        ids += [items.ids.get(value, OUT_OF_VOCABULARY) for value in values]
        lengths.append(len(values))
    found = Histories(
        np.array(ids, np.int32),
        np.append(0, np.cumsum(lengths, dtype=np.int64)),
        names=None if names is None else tuple(names),
    )
    if not timed:
        require(times is None, "the model reads no times; leave them out")
        return found
    require(
        times is not None,
        "the model reads times: give times=[…], whole seconds since 1970 of each event of each"
        " history",
    )
    assert times is not None
    return dataclasses.replace(found, times=_times(list(times), lengths))


def _times(times: Sequence[Sequence[Any]], lengths: Sequence[int]) -> np.ndarray:
    require(
        len(times) == len(lengths),
        f"times has {len(times)} rows, and there are {len(lengths)} histories",
    )
    for number, (own, length) in enumerate(zip(times, lengths, strict=True)):
        require(
            len(own) == length,
            f"times of history {number} has {len(own)} values for {length} events; give each one",
        )
        for value in own:
            require(
                isinstance(value, numbers.Integral) and not isinstance(value, bool),
                f"times of history {number} holds {value!r}; give whole seconds since 1970",
            )
    return np.array([int(value) for own in times for value in own], np.int64)


def check(histories: Histories, given: Sequence[Sequence[Any]]) -> None:
    """Raises RequestError unless each history has an item that the model knows."""
    for number in np.flatnonzero(~histories.answerable).tolist():
        count = len(given[number])
        require(
            count > 0,
            f"history {number} is empty: there is nothing to go by; give at least one item",
        )
        raise RequestError(
            f"none of the {count} items of history {number} is known to the model, for example"
            f" {given[number][0]!r}; `.items` has those that are"
        )


def text_of(value: Any, where: str) -> str:
    """An id as the raw data have it as text. Raises RequestError for what is no id."""
    if isinstance(value, str):
        return value
    require(
        isinstance(value, numbers.Integral) and not isinstance(value, bool),
        f"{where} holds {value!r}; give ids as text, or as whole numbers",
    )
    return str(int(value))
