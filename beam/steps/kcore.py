"""k-core: the events that remain when rare users and items are dropped, again and again."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from podway.beam.steps.chunk import Chunk
from podway.beam.steps.codes import distinct_of


def k_core(
    chunks: Iterable[Chunk], min_user_events: int, min_item_events: int
) -> tuple[np.ndarray, np.ndarray]:
    """Drops users and items with too few events until none is left that has too few.

    The largest such set of events, so the order of dropping does not matter (Seidman, 1983, for
    the bipartite multigraph of events). Reads the chunks once per round, one at a time; what it
    holds is 17 bytes for each user and item.

    Args:
      chunks: tables with the dictionary columns "user" and "item"; no two share a user. Can be
        iterated over again and again.
      min_user_events: events that a user must have to stay.
      min_item_events: events that an item must have to stay.

    Returns:
      Fingerprints of the users and of the items that stay, rising.
    """
    users, items = _distinct(chunks)
    kept = np.ones(len(users), bool), np.ones(len(items), bool)
    while True:
        counts = _count(chunks, items, kept)
        frequent = counts[0] >= min_user_events, counts[1] >= min_item_events
        if np.array_equal(frequent[0], kept[0]) and np.array_equal(frequent[1], kept[1]):
            return np.sort(users[frequent[0]]), items[frequent[1]]
        kept = frequent


def _distinct(chunks: Iterable[Chunk]) -> tuple[np.ndarray, np.ndarray]:
    """Users in the chunks' order, and items in rising order."""
    users, items = [], np.array([], np.uint64)
    for chunk in chunks:
        table = chunk.table()
        users.append(_column(table, "user").dictionary.to_numpy())
        items = distinct_of([items, _column(table, "item").dictionary.to_numpy()])
    return np.concatenate(users), items


def _count(
    chunks: Iterable[Chunk], items: np.ndarray, kept: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Events of each user and item, of those whose user and item are kept."""
    user_events = np.zeros(len(kept[0]), np.int64)
    item_events = np.zeros(len(kept[1]), np.int64)
    first = 0
    for chunk in chunks:
        table = chunk.table()
        user, item = (_column(table, name) for name in ("user", "item"))
        rows = item.dictionary.to_numpy()
        position = np.searchsorted(items, rows)
        last = first + len(user.dictionary)
        of_user, of_item = user.indices.to_numpy(), item.indices.to_numpy()
        mask = kept[0][first:last][of_user] & kept[1][position][of_item]
        user_events[first:last] += np.bincount(of_user[mask], minlength=last - first)
        item_events[position] += np.bincount(of_item[mask], minlength=len(rows))
        first = last
    return user_events, item_events


def _column(table: pa.Table, name: str) -> pa.DictionaryArray:
    return table[name].combine_chunks()
