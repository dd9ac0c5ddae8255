"""The users of a dataset, and the histories that its examples show of them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from podway.framework.input.columns import Ragged
from podway.framework.input.dataset import Dataset
from podway.framework.schema.schema import FIRST_VALUE
from podway.launch.loaded import histories
from podway.launch.loaded.error import require
from podway.launch.loaded.histories import Histories

_SPLITS = ("test", "validation", "train")
"""Where a user's history is longest, first: in the order in which they are looked in."""
_MICRO = 1_000_000


class Examples:
    """What the examples of a dataset show of users' histories.

    Args:
      dataset: of sequences.
      timed: whether the events' times are wanted, too.
      targets: whether the test targets count as seen, as after the evaluation they do.
    """

    def __init__(self, dataset: Dataset, *, timed: bool, targets: bool = False):
        require(
            dataset.schema["item"].ragged,
            f"{dataset.directory} has single events as examples, and no histories of users; give"
            " histories",
        )
        self._timed, self._targets = timed, targets
        self.blocks = [dataset.blocks(split) for split in _SPLITS]

    def read(
        self, split: np.ndarray, block: np.ndarray, row: np.ndarray, names: tuple[str, ...]
    ) -> Histories:
        """The histories of examples, by split (its number), block of it, and row; each block is
        read once."""
        if not len(split):
            return Histories(np.array([], np.int32), np.zeros(1, np.int64), names=())
        order = np.lexsort((row, block, split))
        key = np.stack([split[order], block[order]])
        starts = np.flatnonzero(np.append(True, (key[:, 1:] != key[:, :-1]).any(axis=0)))
        parts = [
            self._read(int(split[part[0]]), int(block[part[0]]), row[part])
            for part in np.split(order, starts[1:])
        ]
        ordered, back = histories.join(parts), np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return _taken(ordered, back, names)

    def _read(self, split: int, block: int, rows: np.ndarray) -> Histories:
        """Histories of one block."""
        name = _SPLITS[split]
        with_target = name == "validation" or (name == "test" and self._targets)
        names = ["item", *["time"] * self._timed]
        more = ["target", *["target_time"] * self._timed] if with_target else []
        columns = self.blocks[split].read(np.array([block]), [*names, *more])
        item, time = columns["item"], columns.get("time")
        assert isinstance(item, Ragged)
        found = Histories(
            item.values,
            item.offsets,
            times=time.values // _MICRO if isinstance(time, Ragged) else None,
        )
        found = _taken(found, rows, None)
        if not with_target:
            return found
        ends = found.offsets[1:]
        times = found.times
        if times is not None:
            times = np.insert(times, ends, np.asarray(columns["target_time"])[rows] // _MICRO)
        ids = np.insert(found.ids, ends, np.asarray(columns["target"])[rows])
        return Histories(ids, found.offsets + np.arange(len(found.offsets)), times)


class Users:
    """Whose histories a dataset has: as of the test, else of the validation and its target, else of
    training.

    In the order of the dataset's shards: those with a test example, then those without. Arguments
    are those of Examples.

    Attributes:
      split: where the example of each user is: its number in test, validation, train.
      block: the same: block of the split.
      row: the same: row of the block.
    """

    def __init__(self, dataset: Dataset, *, timed: bool, targets: bool = False):
        self._dataset = dataset
        self._examples = Examples(dataset, timed=timed, targets=targets)
        self._user, self.split, self.block, self.row = self._find()

    def __len__(self) -> int:
        return len(self._user)

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """The users' ids, as the raw data have them."""
        values = self._dataset.vocabulary("user").values
        return tuple(values[user] for user in self._user)

    def places(self, users: Sequence[Any]) -> np.ndarray:
        """Where they stand in `names`. Raises RequestError for those that the dataset lacks."""
        require(
            not isinstance(users, str | bytes),
            f"users is {users!r}; give a list of user ids",
        )
        names = [histories.text_of(user, "users") for user in users]
        unknown = [name for name in names if name not in self.place]
        require(
            not unknown,
            f"{len(unknown)} of {len(names)} users are not in the dataset"
            f" {self._dataset.directory}, for example {unknown[:1]}; give their histories instead",
        )
        return np.array([self.place[name] for name in names], np.int64)

    def read(self, places: np.ndarray) -> Histories:
        """The histories of users, by their places in `names`; each block is read once."""
        names = tuple(self.names[place] for place in places)
        split, block, row = self.split[places], self.block[places], self.row[places]
        return self._examples.read(split, block, row, names)

    @functools.cached_property
    def place(self) -> dict[str, int]:
        """Where each stands in `names`."""
        return {name: place for place, name in enumerate(self.names)}

    def _find(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Id, split, block and row of each user whom training knows."""
        found, seen = [], np.zeros(self._dataset.schema["user"].size, bool)
        seen[:FIRST_VALUE] = True  # the others have no id of their own
        for at, blocks in enumerate(self._examples.blocks):
            for block, rows in enumerate(blocks.rows):
                user = np.asarray(blocks.read(np.array([block]), ["user"])["user"])
                new = np.flatnonzero(~seen[user])
                seen[user] = True
                places = np.array(
                    [np.full(int(rows), at), np.full(int(rows), block), np.arange(rows)]
                )
                found.append(np.concatenate([user[new][None], places[:, new]]))
        user, split, block, row = np.concatenate(found, axis=1).astype(np.int64)
        return user, split, block, row


def _taken(given: Histories, rows: np.ndarray, names: tuple[str, ...] | None) -> Histories:
    """Some of the histories, in the order of `rows`."""
    start, lengths = given.offsets[rows], np.diff(given.offsets)[rows]
    offsets = np.append(0, np.cumsum(lengths))
    at = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - start, lengths)
    times = None if given.times is None else given.times[at]
    return Histories(given.ids[at], offsets, times, names)
