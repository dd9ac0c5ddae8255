"""Histories: any order of events, any number of times, gives the dataset's order."""

import random

import farmhash
import pytest

from podway.online.error import StoreError
from podway.online.nearline import session
from podway.online.store import columns, history
from podway.online.store.history import EMPTY, Entry, History, merge, pack, unpack

TIMES = (1_700_000_000_000_000, 1_700_000_000_500_000, 1_700_000_003_000_000)


def some(chance: random.Random, count: int) -> list[Entry]:
    """Events with many ties, some with marks, the same event twice at times."""
    found = []
    for _ in range(count):
        mark = chance.choice((0, 0, 1, 2, 3))
        item = chance.choice(("a", "b", "ü"))
        type = "" if not mark else "play" if mark == 1 else "click"
        found.append(Entry(chance.choice(TIMES), item, type, mark))
    return found


@pytest.mark.parametrize("seed", range(50))
def test_any_order_and_any_number_of_times(seed):
    chance = random.Random(seed)
    one, two, three = (merge(EMPTY, some(chance, chance.randrange(8)), None) for _ in range(3))

    def join(a: History, b: History) -> History:
        return merge(a, b.entries, None)

    whole = join(join(one, two), three)
    assert join(one, join(two, three)) == whole
    assert join(join(three, one), two) == whole
    assert join(join(whole, two), whole) == whole
    assert unpack(pack(whole)) == whole


@pytest.mark.parametrize("seed", range(20))
def test_bounded_is_the_end_of_the_whole(seed):
    """With ids, whatever was dropped in between, and in batches of any size."""
    chance = random.Random(seed)
    events = [
        Entry(chance.choice(TIMES) + chance.randrange(3), chance.choice("abc"), "play", mark)
        for mark in range(1, 40)
    ]
    whole = merge(EMPTY, events, None)
    given = events + chance.sample(events, 20)
    chance.shuffle(given)
    found = EMPTY
    while given:
        size = chance.randrange(1, 5)
        found, given = merge(found, given[:size], 10), given[size:]
    assert found.entries == whole.entries[-10:]


def test_ties_are_in_the_order_of_fingerprints():
    items = [f"item {number}" for number in range(40)]
    found = history.of(items, [5] * 40)
    assert found.items == sorted(items, key=farmhash.fingerprint64)
    assert found.items != sorted(items)


def test_an_event_of_the_dataset_is_the_one_that_came_by_the_queue():
    """Whichever was first; a second real event of that time and item stays one of its own."""
    came = merge(EMPTY, [Entry(5, "a", "play", 7)], None)
    backfilled = history.of(["a"], [5])
    assert merge(came, backfilled.entries, None) == came == merge(backfilled, came.entries, None)
    twice = history.of(["a", "a"], [5, 5])
    assert len(merge(came, twice.entries, None)) == 2
    assert len(merge(twice, [*came.entries, Entry(5, "a", "play", 8)], None)) == 2
    assert len(twice.without_duplicates()) == 1


def test_before_is_what_was_known_then():
    found = history.of(["a", "b", "c"], [1_000_000, 2_000_000, 2_500_000])
    assert found.before(2).items == ["a"]
    assert found.before(2.5).items == ["a", "b"]
    assert found.seconds == [1, 2, 2]


@pytest.mark.parametrize("step", [1, 300, 70_000, 5_000_000_000, 86_400_000_000 * 400])
def test_steps_and_items_of_any_size(step):
    entries = [Entry(-7 + at * step, "x" * (at * 150), f"t{at % 3}", at) for at in range(1, 9)]
    found = merge(EMPTY, entries, None)
    assert unpack(pack(found)) == found


@pytest.mark.parametrize("seed", range(60))
def test_what_is_appended_is_what_is_merged(seed):
    """In any units, widths and types, from histories with and without marks, bounded or not."""
    chance = random.Random(seed)
    most = chance.choice((4, 9, 1000))
    types = chance.choice((("play",), ("play", "click", "ü"), ("",)))
    step = chance.choice((1, 999, 1_000, 70_000, 1_000_000, 3_000_000, 86_400_000_000 * 400))

    def further(last: int, count: int) -> list[Entry]:
        """Later than all before, at times at one time."""
        found = []
        for _ in range(count):
            last += step * chance.choice((1, 1, 2, 300)) * (not found or chance.random() < 0.8)
            item = "i" * chance.choice((1, 5, 300 * (chance.random() < 0.1) + 1)) + chance.choice(
                "ab"
            )
            mark = chance.randrange(1, 2**32) if types != ("",) else 0
            found.append(Entry(last, item, chance.choice(types), mark))
        return list(merge(EMPTY, found, None).entries)

    held = merge(EMPTY, [e._replace(mark=0, type="") for e in further(0, 3)], most)
    packed, appends = columns.parse(pack(held)), 0
    for _ in range(30):
        more = further(held.entries[-1].time, chance.choice((1, 1, 1, 2, 5)))
        found = columns.appended(packed, more, most)
        held = merge(held, more, most)
        appends += found is not None
        packed = columns.parse(pack(held) if found is None else columns.pack(found))
        assert unpack(columns.pack(packed)) == held
        assert packed.last == held.entries[-1].time
        end = held.entries[-1].time / 1e6 + 1e-3
        if held.entries[0].time > 1e6 and step < 86_400_000_000:
            for seconds in (0.5, step / 1e6, 1800):
                assert session.latest(packed, seconds) == session.session(held, end, seconds)
    assert appends >= 20


def test_what_is_not_later_is_not_appended():
    held = columns.parse(pack(history.of(["a", "b"], [1, 2])))
    assert columns.appended(held, [Entry(2, "c", "", 1)], 10) is None
    assert columns.appended(columns.parse(pack(EMPTY)), [Entry(2, "c")], 10) is None


def test_twenty_events_take_little():
    start = 1_700_000_000_000_000
    entries = [Entry(start + at * 61_000_000, f"i{1000 + at}", "play", at + 1) for at in range(20)]
    assert len(pack(merge(EMPTY, entries, None))) < 270


def test_damage_and_newer_formats_are_refused():
    content = pack(history.of(["a", "bc"], [1, 2]))
    for end in range(len(content)):
        with pytest.raises(StoreError, match=r"is no whole history|is no history"):
            unpack(content[:end])
    with pytest.raises(StoreError, match=r"is no whole history"):
        unpack(content + b"x")
    with pytest.raises(StoreError, match=r"has format 2, and this Podway reads up to 1: upgrade"):
        unpack(content[:2] + b"\2" + content[3:])
