"""Many messages at once are read as each alone is: by the door's word."""

import json
import random
import re

import pyarrow as pa
import pytest

from podway.framework.config import online
from podway.framework.error import ConfigError
from podway.online.lander import door, parse
from tests.online.lander.conftest import DOOR

PLAIN = {"id": "e", "type": "play", "version": 1, "user": "u", "item": "i", "time": 1.7e9}

ODD = (
    {"seconds": 3}, {"seconds": -1}, {"seconds": "3"}, {"seconds": None}, {"seconds": True},
    {"seconds": 2**60 + 1}, {"seconds": 10**30}, {"time": 1.7e12}, {"time": "now"}, {"time": 5},
    {"time": 1_700_000_000}, {"time": 1_700_000_000.123457}, {"version": 7}, {"version": 0},
    {"version": 1.0}, {"version": True}, {"version": 2**40}, {"user": ""}, {"user": None},
    {"user": "x" * 513}, {"user": "ü" * 300}, {"user": "a\0b"}, {"user": 5}, {"item": ""},
    {"item": "\ud800"}, {"id": "\U0001f600"}, {"type": "rating"}, {"type": "rating", "rating": 5},
    {"type": "rating", "rating": None}, {"type": "dance"}, {"type": "impression", "item": ""},
    {"type": "impression", "items": ["a", "b"]}, {"type": "impression", "items": ["a", None]},
    {"type": "impression", "items": "a"}, {"items": [1, 2]}, {"items": ["a"]}, {"rating": "good"},
    {"rating": 4.5}, {"position": 1.5}, {"type": "click", "position": -1},
    {"colour": "red", "x": {"y": [1, None, "z"]}}, {"colour": None}, {"colour": 2**70},
    {"colour": float("nan")}, {"colour": 1e300, "when": "2020-01-01"}, {"unknown": "u"},
)  # fmt: skip

BROKEN = (
    b"", b" ", b"{", b"[]", b"1", b"null", b'{"id": "a"}{"id": "b"}', b'{"id": "a"}\n{"id": "b"}',
    b'{"id":"\xff"}', b"{\x00}", b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"a": ' + b'{"b": ' * 50_000 + b"1" + b"}" * 50_000 + b"}", b"x" * 70_000,
)  # fmt: skip


def lines() -> list[bytes]:
    found = [json.dumps({**PLAIN, "id": f"{at}", **odd}).encode() for at, odd in enumerate(ODD)]
    pretty = json.dumps({**PLAIN, "id": "pretty"}, indent=1).encode()
    spaced = b"  " + json.dumps({**PLAIN, "id": "spaced"}).encode() + b" "
    twice = json.dumps({**PLAIN, "id": "twice"}).encode()[:-1] + b', "user": "second"}'
    return [*found, *BROKEN, pretty, spaced, twice]


def alone(values: list[bytes]) -> tuple[dict[int, dict], dict[int, str]]:
    table, rows, bad = parse._judged(values, parse.np.arange(len(values)), DOOR)
    return dict(zip(rows.tolist(), table.to_pylist(), strict=True)), said(bad)


def said(bad) -> dict[int, str]:
    """Without the second in which it was said."""
    return {at: re.sub(r"\d+ or earlier", "N or earlier", why) for at, why in bad}


@pytest.mark.parametrize("seed", range(4))
def test_many_at_once_are_read_as_each_alone(seed):
    generator = random.Random(seed)
    plain = [
        json.dumps({**PLAIN, "id": f"p{at}"}).encode() for at in range([0, 5, 300, 3000][seed])
    ]
    values = [*lines(), *plain]
    generator.shuffle(values)
    found = parse.parse(values, DOOR)
    events, bad = alone(values)
    assert said(found.bad) == bad
    assert dict(zip(found.rows.tolist(), found.table.to_pylist(), strict=True)) == events
    assert found.rows.tolist() == sorted(found.rows.tolist())


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_one_odd_event_among_plain_ones(odd):
    values = [json.dumps({**PLAIN, "id": f"p{at}"}).encode() for at in range(20)]
    values.insert(7, json.dumps({**PLAIN, **odd}).encode())
    found = parse.parse(values, DOOR)
    events, bad = alone(values)
    assert said(found.bad) == bad
    assert dict(zip(found.rows.tolist(), found.table.to_pylist(), strict=True)) == events


def test_what_is_plain_is_not_asked_about():
    """Else all would be right, and slow."""

    def never(value: bytes) -> str:
        raise AssertionError(value)

    strict = parse.Door(DOOR.events, DOOR.fields, never)
    rows = [{}, {"seconds": 3}, {"type": "rating", "rating": 4}, {"colour": "red"}]
    rows += [{"type": "impression", "items": ["a", "b"], "model_version": 3, "item": ""}]
    values = [json.dumps({**PLAIN, **row}).encode() for row in rows]
    assert len(parse.parse(values, strict).table) == len(rows)
    assert parse.parse([], strict).table.schema == DOOR.schema


def test_types_that_cannot_share_a_table_are_refused():
    one = online.EventType("one", fields=(online.Field("size", "number"),))
    two = online.EventType("two", fields=(online.Field("size", "text"),))
    with pytest.raises(ConfigError, match="'size' is a number of one and a text of two"):
        door.of(online.Events((one, two)))
    with pytest.raises(ConfigError, match="has a field 'unknown', as the lander calls"):
        door.of(online.Events((online.EventType("a", fields=(online.Field("unknown", "text"),)),)))
    assert door.of(online.Events((one,))).schema.field("size").type == pa.float64()
