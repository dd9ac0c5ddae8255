"""Events of a queue → shards: each once, in its hour, in order; the others among the dead."""

import datetime
import json
import time

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from podway.framework import artifact
from podway.online.events.event import encode
from podway.online.lander import lander as landers
from podway.online.lander import load, shard
from podway.online.queue.queue import Message
from tests.online.lander.conftest import (
    HOUR,
    Place,
    event,
    landed,
    message,
    now_hour,
    shards,
    until,
)


def ids(path) -> list[str]:
    return pq.read_table(path, partitioning=None)["id"].to_pylist()


def test_events_lie_in_their_hours_in_order_and_nothing_waits(place: Place):
    begin = now_hour() - HOUR
    events = [event(at, begin + at * 3.5, seconds=float(at)) for at in range(2000)]
    place.publish([message(one) for one in events])
    with place.lander() as running:
        until(lambda: len(landed(place.root)) == 2000)
        until(lambda: running.count("landed") == 2000)
        assert running.lander.problem() == ""
    found = landed(place.root)
    assert sorted(found["id"].to_pylist()) == sorted(one.id for one in events)
    for user in {one.user for one in events}:
        mine = found.filter(pc.field("user") == user)["id"].to_pylist()
        assert mine == [one.id for one in events if one.user == user]
    for path in shards(place.root):
        day, hour = (part.partition("=")[2] for part in path.parts[-3:-1])
        of = datetime.datetime.fromisoformat(f"{day}T{hour}:00:00+00:00").timestamp()
        for row in pq.read_table(path, partitioning=None).to_pylist():
            assert of <= row["time"].timestamp() < of + HOUR
            assert row["seconds"] == float(row["id"][1:])
    with place.queue() as queue:
        assert queue.lags("events") == {"lander": 0}


def test_each_kind_goes_where_it_belongs(place: Place):
    now = time.time()
    odd = [
        message(event(0, now)),
        message(event(1, now - 2 * HOUR)),  # late
        message(event(2, now + 3 * HOUR)),  # ahead
        message(event(3, now - 40 * 24 * HOUR)),  # too old
        message(event(0, now)),  # twice
        Message("u", b"{"),
        Message("u", b""),
        Message("u", b'{"id": "x", "a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
        Message("u", b'{"id": "x"}\n{"id": "y"}'),
        message(event(4, now, colour="red", seconds=2.0, deep={"a": [1, None]})),
    ]
    place.publish(odd)
    with place.lander() as running:
        until(lambda: running.count("malformed") == 4)
        counts = {
            kind: running.count(kind)
            for kind in ("landed", "late", "ahead", "old", "repeated", "there")
        }
    assert counts == {
        "landed": 4, "late": 1, "ahead": 1, "old": 1, "repeated": 1, "there": 0
    }  # fmt: skip
    found = {row["id"]: row for row in landed(place.root).to_pylist()}
    assert set(found) == {"e0", "e1", "e4"}
    assert json.loads(found["e4"]["unknown"]) == {"colour": "red", "deep": {"a": [1, None]}}
    assert found["e4"]["seconds"] == 2.0
    assert found["e0"]["unknown"] is None
    late = [path for path in shards(place.root) if "e1" in pq.read_table(path)["id"].to_pylist()]
    at = datetime.datetime.fromtimestamp(now - 2 * HOUR, datetime.UTC)
    assert late[0].parts[-3:-1] == (f"date={at:%Y-%m-%d}", f"hour={at:%H}")
    dead = {one.value: one.headers["podway-reason"] for one in place.dead()}
    assert set(dead) == {one.value for one in (odd[2], odd[3], *odd[5:9])}
    assert "10800 s after the message, and online.lander.ahead_seconds is 300" in dead[odd[2].value]
    assert "40.0 days before the message" in dead[odd[3].value]


def test_an_end_in_good_order_lands_what_was_polled(place: Place):
    place.publish([message(event(at, now_hour())) for at in range(50)])
    with place.lander(seconds=3600) as running:
        until(lambda: running.lander._load is not None and running.lander._load.rows == 50)
        assert not shards(place.root)
    assert len(landed(place.root)) == 50


@pytest.mark.parametrize("bound", [{"rows": 100}, {"megabytes": 0.01}])
def test_a_load_is_written_when_it_is_large(place: Place, bound):
    place.publish([message(event(at, now_hour())) for at in range(400)])
    with place.lander(seconds=3600, **bound) as running:
        until(lambda: running.count("landed") >= 100)
    assert len(landed(place.root)) == 400


@pytest.mark.parametrize("again", [30, 80, 200])
def test_what_was_landed_before_a_kill_is_not_landed_again(place: Place, monkeypatch, again: int):
    """The kill is between the shards and the commit; the next lander cuts other loads."""
    messages = [message(event(at, now_hour() - HOUR + 9 * at)) for at in range(600)]
    place.publish(messages)

    class Killed(BaseException):
        pass

    def kill(self, beat=False):
        if self._flush is not None:
            self._flush.result()
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(landers.Lander, "_finish", kill)
        with pytest.raises(Killed), place.lander(rows=100, seconds=3600):
            until(lambda: len(landed(place.root)) >= 100)
    first = len(landed(place.root))
    assert 100 <= first <= 600
    with place.lander(rows=again) as running:
        until(lambda: running.count("landed") == 600 - first)
        until(lambda: running.count("there") == first)
    found = landed(place.root)["id"].to_pylist()
    assert sorted(found) == sorted(f"e{at}" for at in range(600))


def test_of_two_landers_that_both_have_a_partition_nothing_is_doubled(tmp_path):
    """One was taken for dead, and still writes: the names of the shards decide."""
    table = pa.table(
        {
            "id": [f"e{at}" for at in range(100)],
            "time": pa.array([5] * 100, pa.timestamp("us", "UTC")),
            load.PARTITION: pa.array([1] * 100, pa.int32()),
            load.OFFSET: range(100),
        }
    )
    root = str(tmp_path)

    def land(first: int, last: int, seen: set) -> int:
        part = table.slice(first, last - first + 1)
        ranges = {1: shard.Range("t", 1, first, last)}
        return sum(one.rows for one in load.land(root, "t", part, ranges, seen))

    fresh: set = {(1, 0)}  # thinks that it knows the hour
    assert land(10, 49, set()) == 40
    assert land(10, 69, fresh) == 20
    assert land(60, 79, set()) == 10
    assert land(0, 99, set()) == 30
    found = landed(tmp_path)["id"].to_pylist()
    assert sorted(found) == sorted(table["id"].to_pylist())


def test_a_disk_that_is_full_for_a_while_costs_nothing(place: Place, monkeypatch):
    place.publish([message(event(at, now_hour())) for at in range(300)])
    broken, create = True, artifact.create

    def sometimes(path, content):
        if broken:
            raise OSError(28, "No space left on device", str(path))
        return create(path, content)

    monkeypatch.setattr("podway.framework.artifact.create", sometimes)
    with place.lander(rows=100) as running:
        until(lambda: "No space left" in running.lander.problem())
        assert running.count("landed") == 0
        broken = False
        until(lambda: running.count("landed") == 300)
        until(lambda: running.lander.problem() == "")
    assert len(landed(place.root)) == 300


def test_a_strange_file_is_named(place: Place):
    place.publish([message(event(0, now_hour()))])
    with place.lander() as running:
        until(lambda: running.count("landed") == 1)
    (path,) = shards(place.root)
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(shard.OnlineError, match=rf"{path.name} is no shard that a lander wrote"):
        shard.range_of(shard.epath.Path(path))


def test_encoded_events_are_read_back(place: Place):
    begin = now_hour()
    one = event(3, begin + 0.123456, seconds=1.5)
    assert json.loads(encode(one))["seconds"] == 1.5
    place.publish([message(one)])
    with place.lander() as running:
        until(lambda: running.count("landed") == 1)
    (row,) = landed(place.root).to_pylist()
    assert row["time"].timestamp() == pytest.approx(begin + 0.123456, abs=1e-6)
    assert (row["type"], row["version"], row["user"], row["item"]) == ("play", 1, "u3", "i3")
