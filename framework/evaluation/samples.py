"""Some examples of a split as people read them: a history, what came next, and the list."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from podway.framework.input.columns import Ragged
from podway.framework.input.dataset import Dataset
from podway.framework.schema.schema import FIRST_VALUE

COUNT = 3
"""Examples of all, and as many of those whose target is in the list."""
EVENTS = 10
"""Latest events of a history."""
ITEMS = 10
"""Longest list."""
_TITLES = ("title", "name")
"""Columns of the items' attributes that are shown first, where there are several."""


def chosen(ranks: np.ndarray, k: int) -> np.ndarray:
    """The chosen examples' places in the split, rising: spread evenly over all, and over the hits.

    Args:
      ranks: of all examples' targets, [examples].
      k: length of the lists, of which ITEMS are shown at most.
    """
    hits = np.flatnonzero(ranks <= min(k, ITEMS))
    groups = (group for group in (np.arange(len(ranks)), hits) if len(group))
    spread = (group[np.linspace(0, len(group) - 1, COUNT).astype(np.int64)] for group in groups)
    return np.unique(np.concatenate([*spread, np.zeros(0, np.int64)]))


def describe(
    dataset: Dataset, split: str, ranks: np.ndarray, lists: np.ndarray
) -> list[dict[str, Any]]:
    """The chosen examples as JSON.

    Args:
      dataset: whose.
      split: of it.
      ranks: of all examples' targets, [examples].
      lists: of the chosen examples, ids [chosen, k].

    Returns for each {"user", "events": of the whole history, "history": the latest EVENTS,
    "target", "rank": of the target, None where no list has it, "list"}. An item is {"item"}, with
    "title" where the dataset keeps one.
    """
    places = chosen(ranks, lists.shape[1])
    rows = [_row(dataset, split, int(place)) for place in places]
    histories = [history[-EVENTS:] for _, history, _ in rows]
    shown = [[item for item in listed if item >= FIRST_VALUE][:ITEMS] for listed in lists.tolist()]
    every = [item for part in (*histories, *shown) for item in part]
    items = _items(dataset, [*every, *(target for *_, target in rows)])
    users = dataset.values("user", [user for user, *_ in rows])
    catalogue = dataset.schema["item"].size
    return [
        {
            "user": users.get(user, f"id {user}"),
            "events": len(history),
            "history": [items[item] for item in latest],
            "target": items[target],
            "rank": int(rank) if rank <= catalogue else None,
            "list": [items[item] for item in listed],
        }
        for (user, history, target), latest, listed, rank in zip(
            rows, histories, shown, ranks[places], strict=True
        )
    ]


def _row(dataset: Dataset, split: str, place: int) -> tuple[int, list[int], int]:
    """User, history and target of an example."""
    blocks = dataset.blocks(split)
    ends = np.cumsum(blocks.rows)
    block = int(np.searchsorted(ends, place, side="right"))
    columns = blocks.read(np.array([block]), ["user", "item", "target"])
    at = place - int(ends[block] - blocks.rows[block])
    user, item, target = (columns[name] for name in ("user", "item", "target"))
    assert isinstance(item, Ragged)
    history = item.values[item.offsets[at] : item.offsets[at + 1]]
    return int(user[at]), history.tolist(), int(target[at])  # type: ignore[arg-type]


def _items(dataset: Dataset, ids: Sequence[int]) -> dict[int, dict[str, str]]:
    """Each id as it is shown."""
    wanted = sorted(set(ids))
    values = dataset.values("item", wanted)
    attributes = dataset.attributes("item")
    names = [*(name for name in _TITLES if name in attributes), *attributes]
    found = {}
    for item in wanted:
        if item < FIRST_VALUE:
            found[item] = {"item": "unknown in training"}
            continue
        found[item] = {"item": values.get(item, f"id {item}")}
        if names and (title := attributes[names[0]][item]):
            found[item]["title"] = str(title)
    return found
