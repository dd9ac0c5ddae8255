"""Whatever comes, the columns give what message by message gives: rows, order, counts, the dead."""

import collections
import json
import re
import time
from typing import Any

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from podway.framework.config import online
from podway.online.lander import load, parse, sift
from podway.online.queue.queue import Message, Received
from podway.online.queue.run import runs
from tests.online.lander.conftest import DOOR, HOUR, Place, landed, now_hour, until

NOW = now_hour()
CONFIG = online.Lander(late_seconds=600, oldest_days=2, ahead_seconds=60)
PLAIN = {"type": "play", "version": 1, "user": "u", "item": "i"}

# What senders write into fields that nobody knows: Arrow would rather have columns.
text = st.sampled_from(
    ["", "a", "ü\U0001f600", 'quote"', "back\\slash", "tab\t", "2020-01-01", "2020-01-01 10:00:00",
     "null", "12", "\x7f", "\u2028", "x" * 300]
) | st.text(max_size=8)  # fmt: skip
scalar = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from([2**63 - 1, -(2**63), 2**63, 2**64, 10**25, -0.0, 0.1, 1e300, 1e-7, 5.0]),
    st.floats(allow_nan=True),
    text,
)
value = st.recursive(
    scalar,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=4,
)
name = st.sampled_from(
    ["page", "colour", "z", "a b", "näme", 'q"', "", "unknown", "seconds", "rating", "items",
     "position", "request", "user", "version", "time"]
)  # fmt: skip
moment = st.floats(-3 * HOUR, 400).map(lambda by: NOW + by) | st.sampled_from(
    [NOW - 100 * 24 * HOUR, NOW + 5 * HOUR, 1.7e12, -1, 0, int(NOW), "now", None]
)
kind = st.sampled_from(["play", "play", "click", "impression", "rating", "dance"])


@st.composite
def sent(draw: st.DrawFn) -> bytes:
    """A message: most are events, a few in an odd way, and some are none at all."""
    event: dict[str, Any] = {"id": draw(st.sampled_from("abcdefgh")), **PLAIN}
    event |= {"type": draw(kind), "time": draw(moment)}
    if draw(st.booleans()):
        event["seconds"] = draw(st.integers(0, 9) | st.floats(0, 9))
    event |= draw(st.dictionaries(name, value, max_size=draw(st.sampled_from([0, 0, 2, 4]))))
    line = json.dumps(event, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass")
    how = draw(st.integers(0, 25))
    if how == 0:
        return line[: draw(st.integers(0, len(line)))]
    if how == 1:
        return draw(st.binary(max_size=12))
    if how == 2:
        return line[:-1] + b', "page": "again", "page": "and again"}'
    if how == 3:
        return line + draw(st.sampled_from([b" ", b"\n", b"\n{}", b"{}"]))
    return line


def like(at: int, by: float, **fields: Any) -> bytes:
    return json.dumps({"id": f"p{at}", **PLAIN, "time": NOW - by, **fields}).encode()


alike = st.builds(
    like,
    st.integers(0, 40),
    st.floats(0, HOUR),
    seconds=st.integers(0, 9) | st.none(),
    page=text,
    day=st.just("2020-01-01"),
    n=st.integers(-(2**63), 2**63 - 1) | st.none(),
    here=st.booleans(),
)
"""As the events of one sender are: Arrow's way, column by column. With another among them, or with
one that is none, it is another way."""
number = st.builds(like, st.integers(0, 40), st.floats(0, HOUR), n=value)


def received(values: list[bytes], partitions: int) -> list[Received]:
    offsets = collections.Counter()
    found = []
    for at, one in enumerate(values):
        index = at * 7 % partitions
        offset, offsets[index] = offsets[index] + 2, offsets[index] + 2
        found.append(Received("t", index, offset, f"{at}", "k", one, {}, NOW + at % 5, 1))
    return found


def one_by_one(messages: list[Received]) -> tuple[list[dict], collections.Counter, int]:
    """What the lander is to make of messages, said as plainly as can be."""
    table, rows, bad = parse._judged(
        [one.value for one in messages], np.arange(len(messages)), DOOR
    )
    dead = collections.Counter((messages[at].id, sift.MALFORMED, said(why)) for at, why in bad)
    good, late = [], 0
    for at, row in zip(rows.tolist(), table.to_pylist(), strict=True):
        of = messages[at]
        age = of.published - row["time"].timestamp()
        if age < -CONFIG.ahead_seconds:
            dead[of.id, sift.AHEAD, "clock"] += 1
        elif age > CONFIG.oldest_days * 24 * HOUR:
            dead[of.id, sift.OLD, "clock"] += 1
        else:
            late += age > CONFIG.late_seconds
            good.append({**row, load.PARTITION: of.partition, "offset": of.offset})
    return good, dead, late


def said(why: str) -> str:
    """Without the second in which it was said."""
    return re.sub(r"\d+ or earlier", "N or earlier", why)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(alike, max_size=40)
    | st.lists(st.one_of(alike, alike, number), max_size=20)
    | st.lists(st.one_of(alike, alike, alike, sent()), max_size=60)
    | st.lists(sent(), max_size=12),
    st.sampled_from([1, 3]),
)
@example([like(0, 0.0, n=[2**64])], 1)
@example([like(0, 0.0, n=2**64), like(1, 0.0, n=1.5)], 1)
@example([like(0, 0.0, page='a "quote"'), like(1, 0.0, page="plain")], 1)
@example([like(0, 0.0, day="2020-01-01"), like(1, 0.0, day="2020-01-01T10:00:00")], 1)
@example([like(0, 0.0, n=None, page=None), like(1, 0.0, n=3, page="a")], 1)
@example([like(0, 0.0, n=[None, None])], 1)
@example([like(0, 0.0, n=3), like(1, 0.0, n="3")], 1)
def test_columns_give_what_one_by_one_gives(values, partitions):
    messages = received(values, partitions)
    # A run has a partition's messages: these are the order that is kept.
    messages.sort(key=lambda one: one.partition)
    rows, dead, late = one_by_one(messages)
    if not messages:
        return
    found = load.batch(runs(messages), DOOR, CONFIG)
    assert found.table.to_pylist() == rows
    assert (
        collections.Counter(
            (run.message(at).id, kind, said(why) if kind == sift.MALFORMED else "clock")
            for run, at, kind, why in found.dead
        )
        == dead
    )
    assert found.late == late


@settings(max_examples=1, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_queue_of_anything_is_landed_in_order_or_dead(tmp_path_factory, data):
    values = data.draw(st.lists(st.one_of(alike, sent()), min_size=200, max_size=400))
    folder = tmp_path_factory.mktemp("equal")
    topics = online.Topics(partitions=3)
    place = Place(folder, online.SqliteQueue(path=str(folder / "q"), durable=False), topics)
    place.publish([Message(f"u{at % 20}", one) for at, one in enumerate(values)])
    with place.queue() as queue:
        consumer = queue.consumer("test", topics.events)
        messages = []
        while len(messages) < len(values):
            messages += consumer.poll(1000, 1.0)
        consumer.close()
    assert [one.offset for one in messages if one.partition == 0] == list(
        range(sum(one.partition == 0 for one in messages))
    )
    rows, dead, late = one_by_one(messages)
    fields = {name: getattr(CONFIG, name) for name in ("late_seconds", "oldest_days")}
    with place.lander(rows=50, ahead_seconds=CONFIG.ahead_seconds, **fields) as running:
        until(
            lambda: running.count(sift.LANDED) + dead_of(running) == len(values),
            seconds=60.0,
        )
        assert running.count(sift.LANDED) == len(rows)
        assert running.count(sift.LATE) == late
        for one in (sift.MALFORMED, sift.AHEAD, sift.OLD):
            assert running.count(one) == sum(n for (_, kind, _), n in dead.items() if kind == one)
    # In each hour and partition, the order in which they were published.
    wanted = collections.defaultdict(list)
    for row in sorted(rows, key=lambda row: (row[load.PARTITION], row["offset"])):
        place_of = row["time"].timestamp() // HOUR, row.pop(load.PARTITION)
        row.pop("offset")
        wanted[place_of[0]].append(row)
    got = collections.defaultdict(list)
    for row in landed(place.root).to_pylist():
        got[row["time"].timestamp() // HOUR].append(row)
    assert got == wanted


def dead_of(running) -> int:
    return sum(running.count(kind) for kind in (sift.MALFORMED, sift.AHEAD, sift.OLD))


def test_the_reference_sees_a_difference():
    """Else the two could be wrong together: here is what each is to be."""
    line = json.dumps({"id": "e", **PLAIN, "time": time.time(), "deep": [1.5, None]}).encode()
    ((row,), dead, late) = one_by_one([Received("t", 0, 0, "0", "k", line, {}, time.time())])
    assert (row["unknown"], dead, late) == ('{"deep":[1.5,null]}', collections.Counter(), 0)
