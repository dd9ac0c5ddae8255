"""For whom answers are asked: users of the dataset, the histories of a file, or the model's items.

Whoever it is, the plan lists them as rows of a table, a part after the other; who answers a part
makes histories of its rows again, wherever that is.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from podway.launch.loaded.histories import Histories, Items
from podway.launch.loaded.users import Users

USERS, HISTORIES, ITEMS = "users", "histories", "items"
"""Kinds of sources."""


class Source(Protocol):
    """Those who are asked for, in an order that does not change."""

    @property
    def kind(self) -> str:
        """Of what its rows are."""
        ...

    @property
    def identity(self) -> Any:
        """What it is of, as a JSON value: another one, other rows."""
        ...

    @property
    def total(self) -> int:
        """How many there are."""
        ...

    @property
    def rejected(self) -> pa.Table:
        """Those who were asked for and are not there; see `rejected_rows`."""
        ...

    def parts(self, size: int) -> Iterator[pa.Table]:
        """All of them, `size` at a time. Raises RequestError."""
        ...


def rejected_rows(
    rows: Sequence[int] | np.ndarray, users: Sequence[str | None], reason: str
) -> pa.Table:
    """A table of what gets no answer: its row of what was asked, from 0, its user, the reason."""
    return pa.table(
        {
            "row": pa.array(rows, pa.int64()),
            "user": pa.array(users, pa.string()),
            "reason": pa.array([reason] * len(rows), pa.string()),
        }
    )


@dataclasses.dataclass(frozen=True)
class OfUsers:
    """Users of the dataset.

    Attributes:
      users: of the dataset.
      places: those that are asked for, as Users has them.
      targets: whether the test targets count as seen.
      unknown: who is asked for, too, and is not in the dataset, by the row where.
    """

    users: Users
    places: np.ndarray
    targets: bool
    unknown: tuple[tuple[int, str], ...] = ()
    kind = USERS

    @classmethod
    def named(cls, users: Users, names: Sequence[str], targets: bool) -> OfUsers:
        """Users by their ids."""
        places = np.array([users.place.get(name, -1) for name in names], np.int64)
        unknown = tuple((row, names[row]) for row in np.flatnonzero(places < 0).tolist())
        return cls(users, places[places >= 0], targets, unknown)

    @property
    def identity(self) -> Any:
        """Who they are, as the dataset is the model's."""
        chosen = hashlib.sha256(self.places.astype("<i8").tobytes())
        for row, name in self.unknown:
            chosen.update(f"\0{row} {name}".encode())
        return {"users": chosen.hexdigest()[:16], "targets": self.targets}

    @property
    def total(self) -> int:
        """How many users."""
        return len(self.places)

    @property
    def rejected(self) -> pa.Table:
        """See Source."""
        rows, names = [row for row, _ in self.unknown], [name for _, name in self.unknown]
        return rejected_rows(rows, names, "the dataset has no such user")

    def parts(self, size: int) -> Iterator[pa.Table]:
        """See Source. Their histories stay in the dataset: the rows say where."""
        users = self.users
        for start in range(0, len(self.places), size):
            chosen = self.places[start : start + size]
            yield pa.table(
                {
                    "user": pa.array([users.names[place] for place in chosen], pa.string()),
                    "split": pa.array(users.split[chosen], pa.int8()),
                    "block": pa.array(users.block[chosen], pa.int32()),
                    "row": pa.array(users.row[chosen], pa.int32()),
                }
            )


@dataclasses.dataclass(frozen=True)
class OfItems:
    """All items of the model, by their numbers."""

    items: Items
    first: int
    kind = ITEMS
    identity = "items"

    @property
    def total(self) -> int:
        """How many items."""
        return len(self.items.values) - self.first

    @property
    def rejected(self) -> pa.Table:
        """See Source: none."""
        return rejected_rows([], [], "")

    def parts(self, size: int) -> Iterator[pa.Table]:
        """See Source."""
        for start in range(self.first, len(self.items.values), size):
            ids = np.arange(start, min(start + size, len(self.items.values)), dtype=np.int32)
            yield pa.table({"item": pa.array(ids)})


def of_histories(found: Histories) -> pa.Table:
    """Rows of histories that a client gave."""
    offsets = pa.array(found.offsets, pa.int64())
    columns = {"ids": pa.LargeListArray.from_arrays(offsets, pa.array(found.ids, pa.int32()))}
    if found.times is not None:
        times = pa.array(found.times, pa.int64())
        columns["times"] = pa.LargeListArray.from_arrays(offsets, times)
    if found.names is not None:
        columns["user"] = pa.array(found.names, pa.string())
    return pa.table(columns)


def to_histories(table: pa.Table) -> Histories:
    """The histories of rows that `of_histories` made."""
    lists = table["ids"].combine_chunks()
    times, users = (table[name] if name in table.column_names else None for name in _OPTIONAL)
    return Histories(
        lists.flatten().to_numpy(),
        np.append(0, np.cumsum(lists.value_lengths().to_numpy())).astype(np.int64),
        None if times is None else times.combine_chunks().flatten().to_numpy(),
        None if users is None else tuple(users.to_pylist()),
    )


_OPTIONAL = ("times", "user")
