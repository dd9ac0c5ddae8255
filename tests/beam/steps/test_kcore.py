import collections

import numpy as np
import pyarrow as pa

from podway.beam.steps import codes, kcore
from podway.beam.steps.chunk import Chunk


def k_core(user, item, min_user_events: int, min_item_events: int, chunks: int = 3):
    """Who stays, of users spread over chunks."""
    user, item = np.asarray(user, np.uint64), np.asarray(item, np.uint64)
    tables = []
    for part in range(chunks):
        mine = user % np.uint64(chunks) == part
        columns = {}
        for name, values in (("user", user[mine]), ("item", item[mine])):
            union, indices = np.unique(values, return_inverse=True)
            columns[name] = codes.dictionary(indices, union)
        tables.append(Chunk(pa.table(columns)))
    users, items = kcore.k_core(tables, min_user_events, min_item_events)
    return users.tolist(), items.tolist()


def test_a_chain_unravels_from_its_end():
    # Users 0-1-2 share items 0-1-2 in a chain that hangs from the square of users 2, 3.
    user = np.array([0, 0, 1, 1, 2, 2, 2, 3, 3])
    item = np.array([0, 1, 1, 2, 2, 3, 4, 3, 4])
    users, items = k_core(user, item, 2, 2)
    # Item 0 has one event, so user 0 goes, so item 1, so user 1, so item 2; the square stays.
    assert users == [2, 3]
    assert items == [3, 4]


def test_repeated_pairs_count_as_events():
    users, items = k_core([0, 0, 0], [0, 0, 0], 3, 3)
    assert users == [0]
    assert items == [0]


def test_nothing_left():
    users, items = k_core([0, 1], [0, 1], 2, 1)
    assert users == []
    assert items == []


def test_equals_dropping_one_at_a_time():
    generator = np.random.default_rng(1)
    user, item = generator.integers(0, 60, 400), generator.zipf(1.5, 400) % 50
    left = list(zip(user.tolist(), item.tolist(), strict=True))
    while True:
        of_user = collections.Counter(u for u, _ in left)
        of_item = collections.Counter(i for _, i in left)
        rare = next(((u, i) for u, i in left if of_user[u] < 6 or of_item[i] < 4), None)
        if rare is None:
            break
        left.remove(rare)
    assert 0 < len(left) < 400
    users, items = k_core(user, item, 6, 4)
    assert users == sorted({u for u, _ in left})
    assert items == sorted({i for _, i in left})
