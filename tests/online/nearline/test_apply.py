"""Each event has its effect once, whoever is killed when, and however often it comes."""

import collections
import contextlib
import json
import random
import threading

import pytest

from podway.framework.config.online import Events, Nearline, Weight
from podway.online.error import StoreError
from podway.online.events.event import Event
from podway.online.gateway import lists as gateway
from podway.online.nearline import counts, lists, session
from podway.online.nearline.apply import Writer, key
from podway.online.nearline.read import Read, read
from podway.online.store import history as histories
from podway.online.store.memory import MemoryStore
from podway.online.store.store import FEATURES, HISTORY, SHOWN, STATE
from tests.online.nearline.doubles import START, Killed, Mortal, events, received
from tests.online.store.conftest import content

NEARLINE = Nearline(
    types=("play", "click"),
    weights=(Weight("play", 2.0), Weight("click")),
    history=1000,
    half_life_hours=1.0,
    slots=2,
)
NOW = START + 100.0


def batch(given: list[Event], nearline: Nearline = NEARLINE) -> Read:
    return read(received(given), nearline, Events())


def history_of(store, user):
    [value] = store.read(HISTORY, [user])
    return histories.unpack(value.content) if value else histories.EMPTY


def expected(given: list[Event], segment: str = "", nearline: Nearline = NEARLINE):
    """item → what it counts at NOW, computed event by event."""
    weights = {each.event: each.weight for each in nearline.weights}
    total = collections.Counter()
    for event in {each.id: each for each in given}.values():
        if not segment or event.fields.get("segment") == segment:
            age = (NOW - event.time) / 3600 / nearline.half_life_hours
            total[event.item] += weights[event.type] * 0.5**age
    return pytest.approx(dict(total))


def check(store, given: list[Event], nearline: Nearline = NEARLINE):
    """All of it is in the store, once."""
    assert dict(lists.popular(store, nearline, NOW)) == expected(given, "", nearline)
    for segment in ("a", "b"):
        of_segment = dict(lists.popular(store, nearline, NOW, segment))
        assert of_segment == expected(given, segment, nearline)
    for user in {event.user for event in given}:
        mine = {event.id: event for event in given if event.user == user}
        wanted = collections.Counter((e.time, e.item, e.type) for e in mine.values())
        found = history_of(store, user).entries
        assert collections.Counter((e.time / 1e6, e.item, e.type) for e in found) == wanted
        [value] = store.read(FEATURES, [user])
        assert session.unpack(value.content).known == len(mine)


def test_events_are_in_histories_counts_and_features():
    store = MemoryStore()
    given = events(random.Random(1), 200)
    applied = Writer(store, NEARLINE).apply(batch(given), NOW)
    assert (applied.new, applied.repeated, applied.users, applied.conflicts) == (200, 0, 5, 0)
    check(store, given)
    assert lists.segments(store, NEARLINE) == ["a", "b"]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("write", range(1, 9))
@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_write(seed, write, after):
    """Of the second of three batches; then another process gets it, cut in another way."""
    chance = random.Random(seed)
    given = events(chance, 60)
    store = MemoryStore()
    Writer(store, NEARLINE).apply(batch(given[:20]), NOW)
    with contextlib.suppress(Killed):
        Writer(Mortal(store, write, after=after), NEARLINE).apply(batch(given[20:40]), NOW)
    another = Writer(store, NEARLINE)
    for start in range(15, 60, 7):
        another.apply(batch(given[start : start + 7]), NOW)
    check(store, given)


@pytest.mark.parametrize("write", range(1, 6))
def test_a_batch_that_failed_is_applied_again_by_the_same_writer(write):

    given = events(random.Random(4), 40)
    store = MemoryStore()
    writer = Writer(Mortal(store, write, after=True), NEARLINE)
    for start in (0, 20):
        while True:
            try:
                writer.apply(batch(given[start : start + 20]), NOW)
                break
            except Killed:
                continue
    check(store, given)


@pytest.mark.parametrize("seed", range(5))
def test_replayed_from_anywhere_nothing_changes(seed):
    chance = random.Random(seed)
    given = events(chance, 100)
    store = MemoryStore()
    Writer(store, NEARLINE).apply(batch(given), NOW)
    before = {user: history_of(store, user) for user in ("u0", "u1")}
    again = given[chance.randrange(100) :]
    chance.shuffle(again)
    applied = Writer(store, NEARLINE).apply(batch(again), NOW + 5)
    assert applied.new == applied.users == 0
    assert applied.repeated == len(again)
    assert {user: history_of(store, user) for user in ("u0", "u1")} == before
    check(store, given)


def test_two_writers_at_once_with_the_same_events():
    """As when a partition changes hands and the old member is not through yet."""
    store = MemoryStore()
    given = events(random.Random(7), 300, users=30)
    failed = []

    def work(name: str, order: list[Event]) -> None:
        writer = Writer(store, NEARLINE, name=name)
        try:
            for start in range(0, len(order), 10):
                writer.apply(batch(order[start : start + 10]), NOW)
        except BaseException as error:
            failed.append(error)

    threads = [
        threading.Thread(target=work, args=(f"w{at}", order))
        for at, order in enumerate((given, given, given[::-1]))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed
    check(store, given)


def test_an_event_older_than_all_that_is_kept_counts_nothing():
    """Else a replay would count once more what its history no longer has."""
    few = Nearline(types=("play", "click"), history=3, weights=NEARLINE.weights, slots=1)
    store = MemoryStore()
    given = [Event("play", "u", f"i{at}", START + at, id=f"{at}") for at in range(6)]
    writer = Writer(store, few)
    writer.apply(batch(given[:3], few), NOW)
    writer.apply(batch(given[3:], few), NOW)
    before = lists.popular(store, few, NOW)
    assert len(before) == 6
    assert Writer(store, few).apply(batch(given, few), NOW).repeated == 6
    assert lists.popular(store, few, NOW) == before
    assert history_of(store, "u").items == ["i3", "i4", "i5"]


def test_duplicates_as_the_dataset_has_them():
    twice = [Event("play", "u", "i", START, id=id) for id in ("one", "two")]
    for duplicates, wanted in (("keep", 2), ("drop", 1)):
        store = MemoryStore()
        writer = Writer(store, NEARLINE, duplicates)
        for event in (*twice, *twice):
            writer.apply(batch([event]), NOW)
        assert len(history_of(store, "u")) == wanted


def test_what_was_shown_is_kept_apart():
    store = MemoryStore()
    shown = Event("impression", "u", "", START, id="r1", fields={"items": ["a", "b", ""]})
    single = Event("impression", "u", "c", START + 1, id="r2")
    for _ in range(2):
        Writer(store, NEARLINE).apply(batch([shown, single]), NOW)
    assert sorted(histories.unpack(content(store, SHOWN, "u")).items) == ["a", "b", "c"]
    assert store.read(HISTORY, ["u"]) == [None]


def test_what_is_no_event_is_counted_and_passed_over():
    good = Event("play", "u", "i", START, id="1")
    future = Event("play", "u", "i", START + 1000, id="2")
    fields = {"trial": "t", "arm": "a"}
    exposure = Event("exposure", "u", "", START, id="3", fields=fields)
    messages = received([good, future, exposure])
    messages[1] = messages[1]._replace(published=START)
    for value in (b"", b"[]", b"{}", b'{"id":1}', b"\xff", b'{"time":NaN}', b"[" * 100_000):
        messages.append(messages[0]._replace(value=value))
    found = read(messages, NEARLINE, Events())
    assert [event.id for event in found.events] == ["1"]
    assert (found.malformed, found.skewed, found.others) == (7, 1, 1)


def test_segments_are_bounded():
    few = Nearline(types=("play",), segments=2, slots=1)
    store = MemoryStore()
    for at in range(5):
        event = Event("play", "u", f"i{at}", START + at, id=f"{at}", fields={"segment": f"s{at}"})
        Writer(store, few).apply(batch([event], few), NOW)
    assert lists.segments(store, few) == ["s0", "s1"]
    assert store.read(STATE, [key(0, "s3")]) == [None]
    assert len(lists.popular(store, few, NOW)) == 5


def test_a_damaged_history_is_named():
    store = MemoryStore()
    store.write(HISTORY, {"u0": b"nonsense"})
    with pytest.raises(StoreError, match=r"the user 'u0': .* is no whole history"):
        Writer(store, NEARLINE).apply(batch([Event("play", "u0", "i", START)]), NOW)


def test_lists_are_what_a_gateway_reads():
    store = MemoryStore()
    given = events(random.Random(3), 50)
    Writer(store, NEARLINE).apply(batch(given), NOW)
    lists.publish(store, NEARLINE, NOW)
    names = ("list/popular", "list/popular/a", "list/segments")
    popular, of_a, segments = (json.loads(content(store, STATE, name)) for name in names)
    assert dict(popular) == expected(given)
    assert dict(of_a) == expected(given, "a")
    assert segments == ["a", "b"]
    assert names == (gateway.key("popular"), gateway.key("popular", "a"), gateway.key("segments"))
    assert dict(gateway.unpack(content(store, STATE, names[1]))) == expected(given, "a")
    assert [score for _, score in popular] == sorted((s for _, s in popular), reverse=True)


def test_counts_survive_years_and_prune():
    half = 3600.0
    found = counts.NOTHING
    for year in range(30):
        now = START + year * 31_536_000
        event = counts.Counted(f"{year}", f"i{year % 3}", now, 1.0)
        found = counts.add(found, [event], "w", now, half_life=half, most=10)
        found = counts.unpack(counts.pack(found))
        best = counts.ranking([found], now, half_life=half, most=5)
        assert best[0] == (f"i{year % 3}", pytest.approx(1.0))
    many = [counts.Counted(f"x{at}", f"n{at}", now, 1.0 + at) for at in range(50)]
    found = counts.add(found, many, "w", now, half_life=half, most=10)
    assert len(found.scores) == 10
    assert list(found.scores) == [f"n{at}" for at in range(49, 39, -1)]
    with pytest.raises(StoreError, match=r"counts have format 2, and this Podway reads format 1"):
        counts.unpack(counts.pack(found).replace(b'"format":1', b'"format":2'))
    with pytest.raises(StoreError, match=r"has no counts"):
        counts.unpack(b"{}")


def test_a_session_ends_with_a_pause():
    minutes = [0, 10, 20, 60, 70]
    found = histories.of(
        ["a", "b", "a", "c", "c"], [round((START + 60 * m) * 1e6) for m in minutes], "play"
    )
    now = session.session(found, START + 71 * 60, 1800)
    assert (now.events, now.items, now.known, now.open) == (2, 1, 5, True)
    assert (now.begun, now.gap, now.types) == (START + 3600, 600.0, {"play": 2})
    then = session.session(found, START + 60 * 60, 1800)  # the fourth is not before it
    assert (then.events, then.items, then.known, then.open) == (3, 2, 3, False)
    assert session.unpack(session.pack(then)) == then
    assert session.session(found, START, 1800) == session.Session()
