"""Sorted events → examples: which events of each user are history, and which is the target.

The order of a user's events is that of time; events at the same time are in the order of their
items' text, by UTF-8 bytes. That tie rule needs nothing but the events themselves, so a target
never depends on the order of the raw rows.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import polars as pl

from framework.config import GlobalTime, LeaveOneOut, Split


@dataclasses.dataclass(frozen=True)
class Events:
    """Some users' events, user by user, each user's in order.

    Attributes:
      user: int32 id per user.
      offsets: int64 [users + 1]; user u has the events offsets[u] to offsets[u + 1].
      item: int32 id per event.
      time: int64 microseconds (or positions) per event.
      item_code: int32 per event: the rank of the item's text.
    """

    user: np.ndarray
    offsets: np.ndarray
    item: np.ndarray
    time: np.ndarray
    item_code: np.ndarray


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


def arrange(
    user: np.ndarray,
    item: np.ndarray,
    time: np.ndarray,
    *,
    order: np.ndarray,
    user_ids: np.ndarray,
    item_ids: np.ndarray,
) -> Events:
    """Sorts events by (place of their user, time, item's text).

    Args:
      user: int32 codes, one per event, in any order.
      item: int32 codes, likewise.
      time: int64, likewise.
      order: by user code: users come in rising order of it, equal ones by code.
      user_ids: by user code.
      item_ids: by item code.
    """
    users = np.flatnonzero(np.bincount(user, minlength=len(order)))
    users = users[np.argsort(order[users], kind="stable")]
    place = np.zeros(len(order), np.int32)
    place[users] = np.arange(len(users), dtype=np.int32)
    frame = pl.DataFrame({"place": place[user], "time": time, "item": item})
    frame = frame.sort("place", "time", "item")
    item_code = frame["item"].to_numpy()
    counts = np.bincount(frame["place"].to_numpy(), minlength=len(users))
    return Events(
        user=user_ids[users],
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        item=item_ids[item_code],
        time=frame["time"].to_numpy(),
        item_code=item_code,
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
    """Last event: test target; the one before: validation target; for three events or more."""
    count = np.diff(events.offsets)
    everyone = np.arange(len(count))
    held_out = count >= 3
    some, last = everyone[held_out], events.offsets[1:][held_out] - 1
    return {
        "train": Examples(everyone, np.where(held_out, count - 2, count)),
        "validation": Examples(some, count[held_out] - 2, last - 1),
        "test": Examples(some, count[held_out] - 1, last),
    }


def global_time(events: Events, validation: int, test: int) -> dict[str, Examples]:
    """Targets are the first events from `validation`, and from `test`, on.

    A user has a validation or test example only with events on both sides of the point: without
    any history there is nothing to rank by.
    """
    count = np.diff(events.offsets)
    everyone = np.arange(len(count))
    before_validation = _count_before(events, validation)
    before_test = _count_before(events, test)
    validated = everyone[(before_validation > 0) & (before_validation < before_test)]
    tested = everyone[(before_test > 0) & (before_test < count)]
    trained = everyone[before_validation > 0]
    start = events.offsets[:-1]
    return {
        "train": Examples(trained, before_validation[trained]),
        "validation": Examples(
            validated,
            before_validation[validated],
            start[validated] + before_validation[validated],
        ),
        "test": Examples(tested, before_test[tested], start[tested] + before_test[tested]),
    }


def _count_before(events: Events, point: int) -> np.ndarray:
    """Per user, the events earlier than the point."""
    earlier = np.concatenate([[0], np.cumsum(events.time < point)])
    return np.diff(earlier[events.offsets])


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
