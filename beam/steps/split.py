"""Sorted events → examples: which events of each user are history, and which is the target.

The order of a user's events is that of time; events at the same time are in the order of their
items' fingerprints, those of one item in that of their features. That tie rule needs nothing but
the events themselves, so a target never depends on the order of the raw rows.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl
import pyarrow as pa

from podway.beam.formats.rows import EVENT_ID
from podway.beam.steps import codes
from podway.beam.steps.chunk import Chunk
from podway.framework.config import GlobalTime, LeaveOneOut, Split
from podway.framework.schema.schema import EVENT_WEIGHT

EVENT = ("user", "time", "item")


@dataclasses.dataclass(frozen=True)
class Events:
    """Some users' events, user by user, each user's in order.

    Attributes:
      user: uint64 fingerprint per user.
      offsets: int64 [users + 1]; user u has the events offsets[u] to offsets[u + 1].
      item: int32 per event: position in `items`.
      items: uint64 fingerprints, rising.
      time: int64 microseconds (or positions) per event.
      features: further columns, one value per event; EVENT_WEIGHT among them, where events have
        weights.
    """

    user: np.ndarray
    offsets: np.ndarray
    item: np.ndarray
    items: np.ndarray
    time: np.ndarray
    features: dict[str, pa.Array]

    @property
    def weights(self) -> np.ndarray | None:
        """float32 per event; None where each counts 1."""
        found = self.features.get(EVENT_WEIGHT)
        return None if found is None else found.to_numpy()

    @property
    def targets(self) -> np.ndarray:
        """Positions of the events that may be targets: those with a weight."""
        weights = self.weights
        return np.arange(len(self.item)) if weights is None else np.flatnonzero(weights > 0)


@dataclasses.dataclass(frozen=True)
class Examples:
    """Examples of one split, as positions in Events.

    Attributes:
      user: int64 [examples], positions in Events.user.
      length: int64 [examples]: the history is the user's first `length` events.
      target: int64 [examples], positions in Events.item; None for the train split.
    """

    user: np.ndarray
    length: np.ndarray
    target: np.ndarray | None = None


def arrange(chunks: Iterable[Chunk], seed: int, duplicates: str) -> tuple[pa.Table, int]:
    """Sorts events by (place of their user, time, item, features).

    Args:
      chunks: tables with the dictionary columns "user" and "item", "time", features, which are
        numbers or dictionary columns, and EVENT_ID where events have ids.
      seed: of the users' order.
      duplicates: "drop" the events that equal an earlier one in user, item and time, or "keep".
        Those that have the user and the id of an earlier one are dropped in any case.

    Returns:
      One table of the same columns; the dictionary of "user" is in the order of the rows. And the
      number of events that were dropped.
    """
    tables = [chunk.table() for chunk in chunks]
    names = [*EVENT, *(name for name in tables[0].column_names if name not in EVENT)]
    columns, unions = {}, {}
    for name in names:
        parts = [table[name].combine_chunks() for table in tables]
        if pa.types.is_dictionary(parts[0].type):
            columns[name], unions[name] = codes.unify(parts)
        else:
            columns[name] = np.concatenate([part.to_numpy() for part in parts])
    del tables
    users = unions["user"]
    order = np.argsort(codes.scatter(users, seed), kind="stable")
    position = np.empty(len(order), np.int32)
    position[order] = np.arange(len(order), dtype=np.int32)
    columns["user"], unions["user"] = position[columns["user"]], users[order]
    columns = _sort(columns, names)
    rows = len(columns["time"])
    once = ~_duplicates(columns, duplicates)
    if not once.all():
        columns = {name: column[once] for name, column in columns.items()}
    arrays = {
        name: codes.dictionary(columns[name], unions[name])
        if name in unions
        else pa.array(columns[name])
        for name in names
    }
    return pa.table(arrays), rows - len(columns["time"])


def _sort(columns: dict[str, np.ndarray], names: list[str]) -> dict[str, np.ndarray]:
    """Rows in rising order of the columns in the order of their names."""
    layout = _layout([columns[name] for name in EVENT])
    if layout is not None:
        packed = _pack([columns[name] for name in EVENT], layout)
        if len(names) == len(EVENT):
            packed.sort()
            types = [columns[name].dtype for name in names]
            return dict(zip(names, _unpack(packed, layout, types), strict=True))
        order = np.argsort(packed)
        packed = packed[order]
        if not (packed[1:] == packed[:-1]).any():
            return {name: columns[name][order] for name in names}
    frame = pl.DataFrame(columns).sort(names)
    return {name: frame[name].to_numpy() for name in names}


Layout = list[tuple[int, int, int]]
"""Per column its lowest value, the step that all values are multiples of from there, and bits."""


def _layout(columns: Sequence[np.ndarray]) -> Layout | None:
    """How rows become one uint64 each, in the same order; None where 64 bits don't do.

    Sorting numbers is several times as quick as sorting rows. Most times are whole seconds.
    """
    layout = []
    for column in columns:
        low, high = (int(column.min()), int(column.max())) if len(column) else (0, 0)
        step = 1_000_000 if not (column % 1_000_000).any() and low % 1_000_000 == 0 else 1
        layout.append((low, step, ((high - low) // step).bit_length()))
    return layout if sum(bits for _, _, bits in layout) < 64 else None


def _pack(columns: Sequence[np.ndarray], layout: Layout) -> np.ndarray:
    packed = np.zeros(len(columns[0]), np.uint64)
    for column, (low, step, bits) in zip(columns, layout, strict=True):
        packed <<= np.uint64(bits)
        packed |= ((column - low) // step if step > 1 else column - low).astype(np.uint64)
    return packed


def _unpack(packed: np.ndarray, layout: Layout, types: Sequence[np.dtype]) -> list[np.ndarray]:
    columns = []
    for (low, step, bits), dtype in zip(layout[::-1], types[::-1], strict=True):
        column = (packed & np.uint64((1 << bits) - 1)).astype(dtype)
        columns.append(column * dtype.type(step) + dtype.type(low))
        packed = packed >> np.uint64(bits)
    return columns[::-1]


def _repeats(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Mask of the rows that equal the one before in all columns."""
    same = np.ones(max(len(columns[0]) - 1, 0), bool)
    for column in columns:
        same &= column[1:] == column[:-1]
    return np.concatenate([[False], same])[: len(columns[0])]


def _duplicates(columns: dict[str, np.ndarray], duplicates: str) -> np.ndarray:
    """Mask of the sorted rows that are dropped for an earlier one."""
    repeated = np.zeros(len(columns["time"]), bool)
    if duplicates == "drop":
        repeated = _repeats([columns[name] for name in EVENT])
    if EVENT_ID in columns:
        pairs = pl.DataFrame({name: columns[name] for name in ("user", EVENT_ID)})
        repeated |= ~pairs.select(pl.struct(pl.all()).is_first_distinct()).to_series().to_numpy()
    return repeated


def latest(table: pa.Table, most: int) -> tuple[pa.Table, int]:
    """Of each user's events, in the order that `arrange` gives, the last `most`; and how many
    others there were."""
    user = table["user"].combine_chunks().indices.to_numpy()
    counts = np.bincount(user, minlength=1)
    if counts.max() <= most:
        return table, 0
    stay = np.cumsum(counts)[user] - np.arange(len(user)) <= most
    return table.filter(pa.array(stay)), int((~stay).sum())


def latest_of_some(table: pa.Table, most: int, duplicates: str) -> tuple[pa.Table, dict[str, int]]:
    """Some events, in any order, without those that are none of their user's latest: whatever other
    events there are, they are none of the latest of all. So a user with many costs no more than
    one with few.

    Returns the events, and how many were dropped by which rule.
    """
    user = table["user"].combine_chunks().indices.to_numpy()
    many = np.bincount(user, minlength=1)[user] > most
    if not many.any():
        return table, {}
    place = np.flatnonzero(many)
    names = [*EVENT, *(name for name in table.column_names if name not in EVENT)]
    columns = {}
    for name in names:
        column = table[name].combine_chunks()
        column = column.indices if isinstance(column, pa.DictionaryArray) else column
        columns[name] = column.to_numpy()[place]
    # Values of a batch are in the order of their fingerprints, as they are in `arrange`.
    order = pl.DataFrame(columns).with_row_index().sort(names)["index"].to_numpy()
    repeated = _duplicates({name: column[order] for name, column in columns.items()}, duplicates)
    order = order[~repeated]
    counts = np.bincount(columns["user"][order])
    stay = np.cumsum(counts)[columns["user"][order]] - np.arange(len(order)) <= most
    kept = np.ones(len(user), bool)
    kept[place] = False
    kept[place[order[stay]]] = True
    dropped = {"duplicate": int(repeated.sum()), "max_user_events": int((~stay).sum())}
    return table.filter(pa.array(kept)), dropped


def of_these(table: pa.Table, users: np.ndarray, items: np.ndarray) -> pa.Array:
    """Mask of the events of these users and items (rising fingerprints)."""
    masks = []
    for name, kept in (("user", users), ("item", items)):
        column = table[name].combine_chunks()
        values = codes.member(column.dictionary.to_numpy(), kept)
        masks.append(values[column.indices.to_numpy()])
    return pa.array(masks[0] & masks[1])


def events(table: pa.Table) -> Events:
    """Takes apart what `arrange` returned, or some rows of it."""
    user, item = (table[name].combine_chunks() for name in ("user", "item"))
    counts = np.bincount(user.indices.to_numpy(), minlength=len(user.dictionary))
    present = counts > 0
    return Events(
        user=user.dictionary.to_numpy()[present],
        offsets=np.concatenate([[0], np.cumsum(counts[present])]),
        item=item.indices.to_numpy(),
        items=item.dictionary.to_numpy(),
        time=table["time"].combine_chunks().to_numpy(),
        features={
            name: table[name].combine_chunks()
            for name in table.column_names
            if name not in (*EVENT, EVENT_ID)
        },
    )


def examples(split: Split, events: Events, cuts: Sequence[int] | None) -> dict[str, Examples]:
    """The examples of each split; `cuts` are the two points of GlobalTime."""
    match split:
        case LeaveOneOut():
            return leave_one_out(events)
        case GlobalTime():
            assert cuts is not None
            return global_time(events, *cuts)
    raise TypeError(f"no such split: {split}")


def leave_one_out(events: Events) -> dict[str, Examples]:
    """Last event: test target; the one before: validation target; for three events or more.

    Of events that may be targets, that is; a history has all events before its target.
    """
    start, count = events.offsets[:-1], np.diff(events.offsets)
    everyone, targets = np.arange(len(count)), events.targets
    ends = np.searchsorted(targets, events.offsets)
    some = everyone[np.diff(ends) >= 3]
    last, before = targets[ends[1:][some] - 1], targets[ends[1:][some] - 2]
    trained = count.copy()
    trained[some] = before - start[some]
    return {
        "train": Examples(everyone, trained),
        "validation": Examples(some, before - start[some], before),
        "test": Examples(some, last - start[some], last),
    }


def global_time(events: Events, validation: int, test: int) -> dict[str, Examples]:
    """Targets are the first events from `validation`, and from `test`, on that may be targets.

    A user has a validation or test example only with events on both sides of the point: without
    any history there is nothing to rank by. A history has all events before its target.
    """
    everyone = np.arange(len(events.user))
    before = [_count_before(events, point) for point in (validation, test)]
    trained = everyone[before[0] > 0]
    return {
        "train": Examples(trained, before[0][trained]),
        "validation": _first_from(events, before[0], before[1]),
        "test": _first_from(events, before[1], np.diff(events.offsets)),
    }


def _first_from(events: Events, begin: np.ndarray, end: np.ndarray) -> Examples:
    """Of users with events before their `begin`-th: the first target from there to `end`."""
    start, targets = events.offsets[:-1], np.append(events.targets, len(events.item))
    first = targets[np.searchsorted(targets[:-1], start + begin)]
    users = np.flatnonzero((begin > 0) & (first < start + end))
    return Examples(users, (first - start)[users], first[users])


def _count_before(events: Events, point: int) -> np.ndarray:
    """Per user, the events earlier than the point."""
    earlier = np.concatenate([[0], np.cumsum(events.time < point)])
    return np.diff(earlier[events.offsets])


def histories(events: Events, examples: Examples) -> np.ndarray:
    """Mask of the events that are in the examples' histories."""
    length = np.zeros(len(events.user), np.int64)
    length[examples.user] = examples.length
    runs = np.stack([length, np.diff(events.offsets) - length], axis=1)
    return np.repeat(np.tile([True, False], len(length)), runs.ravel())


def seen_targets(events: Events, examples: Examples) -> int:
    """How many targets are of an item that their own history has."""
    assert examples.target is not None
    user = np.repeat(np.arange(len(events.user)), np.diff(events.offsets))
    pairs = user * max(len(events.items), 1) + events.item
    _, first, index = np.unique(pairs, return_index=True, return_inverse=True)
    return int((first[index[examples.target]] < examples.target).sum())


def quantiles(times: np.ndarray, counts: np.ndarray, shares: tuple[float, ...]) -> list[int]:
    """Of the events in order of time, the time of number floor(share × events), from 0.

    Args:
      times: distinct times, rising.
      counts: events at each.
      shares: from 0 to below 1.
    """
    ends = np.cumsum(counts)
    return [
        int(times[np.searchsorted(ends, int(share * int(ends[-1])), side="right")])
        for share in shares
    ]
