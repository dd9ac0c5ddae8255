"""Histories as ids, against a slow and obvious way to make them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from podway.framework.schema.schema import OUT_OF_VOCABULARY, PADDING
from podway.launch.loaded import histories
from podway.launch.loaded.histories import Histories, Items

ITEMS = Items(("", "", "a", "b", "c"))
LISTS = some.lists(some.lists(some.sampled_from(["a", "b", "c", "x", "y"]), max_size=7), max_size=6)


@settings(max_examples=200, deadline=None)
@given(LISTS, some.integers(1, 5), some.booleans(), some.integers(0, 2**40))
def test_the_latest_events_are_what_a_loop_takes(lists, length, unknown, start):
    draw = np.random.default_rng(start)
    times = [np.sort(draw.integers(0, 2**33, len(row))).tolist() for row in lists]
    found = histories.of_values(lists, ITEMS, times, timed=True)
    ids, since = found.latest(length, unknown=unknown)
    for row, (events, at) in enumerate(zip(lists, times, strict=True)):
        read = [
            (ITEMS.ids.get(event, OUT_OF_VOCABULARY), time)
            for event, time in zip(events, at, strict=True)
            if unknown or event in ITEMS.ids
        ][-length:]
        padding = [PADDING] * (length - len(read))
        assert ids[row].tolist() == [item for item, _ in read] + padding
        waited = [min(time - read[0][1], 2**31 - 1) for _, time in read]
        assert since[row].tolist() == waited + padding
    assert found.unknown.tolist() == [sum(event in "xy" for event in row) for row in lists]
    assert found.answerable.tolist() == [any(event in "abc" for event in row) for row in lists]
    assert ids.shape == since.shape == (len(lists), length)


@settings(max_examples=100, deadline=None)
@given(LISTS, some.integers(0, 8), some.integers(0, 8))
def test_a_slice_and_a_join_are_those_of_lists(lists, first, last):
    def of(rows):
        names = [f"user {at}" for at in range(len(rows))]
        return histories.of_values(rows, ITEMS, None, timed=False, names=names)

    def lists_of(found: Histories):
        return [part.tolist() for part in np.split(found.ids, found.offsets[1:-1])]

    whole = of(lists)
    part, chosen = whole[first:last], lists[first:last]
    assert len(part) == len(chosen)
    assert part.names == tuple(f"user {at}" for at in range(len(lists)))[first:last]
    if chosen:
        assert lists_of(part) == [[ITEMS.ids.get(item, 1) for item in row] for row in chosen]
        again = histories.join([part, whole])
        assert lists_of(again) == lists_of(part) + lists_of(whole)
        assert again.names == tuple(part.names or ()) + tuple(whole.names or ())


def test_whole_numbers_are_their_digits():
    items = Items(("", "", "7", "31"))
    found = histories.of_values([[7, "31", np.int32(7)]], items, None, timed=False)
    assert found.ids.tolist() == [2, 3, 2]
    for wrong in (True, 7.0, None, b"7"):
        with pytest.raises(ValueError, match="give ids as text, or as whole numbers"):
            histories.of_values([[wrong]], items, None, timed=False)
