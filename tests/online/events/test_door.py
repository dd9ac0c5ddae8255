"""What comes through the door is an event, and what does not is told what would be right."""

import dataclasses
import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podway.framework.config.online import Events, EventType, Field
from podway.framework.config.online.events import RESERVED
from podway.framework.error import ConfigError
from podway.online.error import OnlineError
from podway.online.events import door
from podway.online.events.door import decode
from podway.online.events.event import Event, encode

NOW = 1_800_000_000.0
WIDE = EventType(
    "wide",
    version=3,
    oldest=2,
    fields=(
        Field("name", "text", required=True),
        Field("size", "integer", least=0, most=9),
        Field("on", "boolean"),
        Field("tags", "texts"),
        Field("weights", "numbers", least=0),
        Field("late", "number", required=True, since=3),
    ),
)
EVENTS = dataclasses.replace(Events(), types=(*Events().types, WIDE))
PLAY = {"id": "a", "type": "play", "version": 1, "user": "u", "item": "i", "time": NOW}
WIDELY = PLAY | {"type": "wide", "version": 3, "name": "n", "late": 1}


def sent(event: dict, **changes) -> bytes:
    """As JSON; None leaves a field out."""
    return json.dumps({k: v for k, v in (event | changes).items() if v is not None}).encode()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"[]", "is a JSON list; give one object"),
        (b"\xff", "byte 0 is no UTF-8"),
        (b"[" * 50_000, "nested too deep"),
        (b'{"id": "\\ud800"}', "surrogate"),
        (sent(PLAY, seconds=math.nan), "NaN is no number"),
        (sent(PLAY, other=[math.inf]), "Infinity is no number"),
        (sent(PLAY)[:-1] + b', "other": 1e999}', "1e999 is no number"),
        (sent(PLAY, other="x" * 70_000), "give 65536 at most"),
        (sent(PLAY, type=None), "type is missing; give one of impression"),
        (sent(PLAY, type="plays"), 'type is "plays"; give one of'),
        (sent(PLAY, type=["play"]), r'type is \["play"\]; give one of'),
        (sent(PLAY, version=None), "version is missing; give the version of play, 1"),
        (sent(PLAY, version=True), "version is true"),
        (sent(PLAY, version="1"), 'version is "1"'),
        (sent(PLAY, version=2**40), "version is 1099511627776"),
        (sent(WIDELY, version=1), "wide is taken in from 2 on: update the sender"),
        (sent(PLAY, id=None), "id is missing; give a text that is not empty"),
        (sent(PLAY, id=7), "id is 7"),
        (sent(PLAY, user=""), 'user is ""; give a text'),
        (sent(PLAY, item=None), "item is missing"),
        (sent(PLAY, user="u" * 513), "user has 513 letters; give 512 at most"),
        (sent(PLAY, user="u\0"), "without the character 0"),
        (sent(PLAY, time=None), "time is missing; give seconds since 1970"),
        (sent(PLAY, time=str(NOW)), "as a number"),
        (sent(PLAY, time=True), "time is true"),
        (sent(PLAY, time=0), "946684800 or later"),
        (sent(PLAY, time=NOW * 1000), "these look like milliseconds"),
        (sent(PLAY, time=NOW + 90_000), "1800086400 or earlier$"),
        (sent(PLAY, time=10**400), "or earlier"),
        (sent(PLAY, seconds="3"), 'seconds is "3"; give a number'),
        (sent(PLAY, seconds=False), "seconds is false"),
        (sent(PLAY, seconds=-1), "seconds is -1; give 0 or more"),
        (sent(PLAY, type="rating"), "rating is missing; give a number"),
        (sent(WIDELY, name=None), "name is missing; give a text"),
        (sent(WIDELY, size=1.5), "size is 1.5; give an integer"),
        (sent(WIDELY, size=10), "size is 10; give 9 or less"),
        (sent(WIDELY, size=2**63), "give an integer of 64 bits"),
        (sent(WIDELY, on=1), "on is 1; give true or false"),
        (sent(WIDELY, tags=["a", 1]), "give a list of texts"),
        (sent(WIDELY, weights=[1, -1]), "give 0 or more"),
        (sent(WIDELY, late=None), "late is missing"),
    ],
)
def test_what_is_wrong_is_named(value, said):
    found = decode(value, EVENTS, NOW)
    assert isinstance(found, str), found
    assert re.search(said, found), found
    assert len(found) < 500


def test_what_is_right_comes_through_whole():
    found = decode(sent(PLAY, seconds=2, mood={"a": [1, None]}), EVENTS, NOW)
    assert found == Event("play", "u", "i", NOW, "a", 1, {"seconds": 2, "mood": {"a": [1, None]}})
    shown = decode(sent(PLAY, type="impression", item=None, items=["a", "b"]), EVENTS, NOW)
    assert isinstance(shown, Event)
    assert (shown.item, shown.fields["items"]) == ("", ["a", "b"])


def test_older_and_newer_versions_are_taken_in():
    older = decode(sent(WIDELY, version=2, late=None), EVENTS, NOW)
    assert isinstance(older, Event), "a field that came later is not asked of it"
    newer = decode(sent(WIDELY, version=4, more="kept"), EVENTS, NOW)
    assert isinstance(newer, Event)
    assert (newer.version, newer.fields["more"]) == (4, "kept")
    assert "give a text" in str(decode(sent(WIDELY, version=4, name=1), EVENTS, NOW))


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_OWN = {*RESERVED, *(field.name for of in EVENTS.types for field in of.fields)}


@given(
    st.sampled_from(["play", "click", "impression"]),
    st.text(min_size=1).filter(lambda text: "\0" not in text),
    st.integers(1, 5),
    st.floats(1e9, NOW),
    st.dictionaries(st.text().filter(lambda name: name not in _OWN), _JSON, max_size=4),
)
def test_unknown_fields_are_kept_on_the_way_there_and_back(kind, name, version, moment, fields):
    event = Event(kind, name, name, moment, name, version, fields)
    written = encode(event)
    assert b"\n" not in written
    found = decode(written, EVENTS, NOW)
    assert found == event
    assert encode(found) == written


@given(st.binary(max_size=60) | _JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_there_is_an_answer(value):
    assert isinstance(decode(value, EVENTS, NOW), str | Event)


@given(
    st.dictionaries(st.text(max_size=5), _JSON, max_size=4),
    st.sampled_from([10**19, -(2**63) - 1, 2**64, 1e19, [2**70], {"a": [10**30]}, 2**63]),
)
def test_both_readers_read_the_same(fields, wide):
    value = json.dumps({**fields, **PLAY, "wide": wide}).encode()
    quick = door._quickly(value)
    assert quick is None or repr(quick) == repr(json.loads(value))
    found = decode(value, EVENTS, NOW)
    assert not isinstance(found, Event) or repr(found.fields["wide"]) == repr(wide)


@pytest.mark.parametrize("name", RESERVED)
def test_fields_do_not_override_what_every_event_has(name):
    with pytest.raises(OnlineError, match=name):
        Event("play", "u", "i", NOW, fields={name: "x"})
    with pytest.raises(ConfigError, match="every event has"):
        Field(name, "text")


@pytest.mark.parametrize("value", [math.nan, math.inf, object(), b"x", "\ud800"])
def test_what_is_no_json_is_not_written(value):
    with pytest.raises(OnlineError, match="event 'a' of type 'play' can't be written"):
        encode(Event("play", "u", "i", NOW, "a", fields={"x": value}))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Field("a b", "text"), "is no name"),
        (lambda: Field("a", "text", least=0), "bounds no text"),
        (lambda: Field("a", "number", least=math.nan), "nan bounds no number"),
        (lambda: Field("a", "number", least=2, most=1), "give least no more than most"),
        (lambda: EventType("a", fields=(Field("b", "text"), Field("b", "text"))), "twice"),
        (lambda: EventType("a", fields=(Field("b", "text", since=2),)), "raise `version`"),
        (lambda: EventType("a", version=1, oldest=2), "oldest is 2"),
        (lambda: Events(types=()), "types is empty"),
        (lambda: Events(types=(WIDE, WIDE)), "twice"),
        (lambda: Events(future_seconds=math.nan), "future_seconds is nan"),
    ],
)
def test_a_config_that_cannot_be_is_refused(make, said):
    with pytest.raises(ConfigError, match=said):
        make()
