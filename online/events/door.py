"""The door: bytes that somebody sent → the event, or what is wrong with them.

What is said of a refused one names the field and what would be right, in a form that stands in the
headers of a dead message and on a page of errors. Fields that the type does not have are kept.
"""

import json
import math
import re
import time
from collections.abc import Callable
from typing import Any

import orjson

from podway.framework.config.online.events import RESERVED, Events, EventType, Field
from podway.online.events.event import Event

_LONGEST = 60
_MILLISECONDS = 1e11
_LONG = re.compile(rb"\d{19}")
_WIDE = 2.0**63
"""Integers of more than 64 bits are floats to the quick reader."""
_NESTED = 100
"""Brackets; beyond, the slow reader says whether it is too deep."""


def judge(events: Events) -> Callable[[bytes], Event | str]:
    """`decode` of these events, as of now."""
    return lambda value: decode(value, events)


def decode(value: bytes, events: Events, now: float | None = None) -> Event | str:
    """The event; or in one sentence why it is none.

    Args:
      value: as it was sent.
      events: which ones there are.
      now: seconds since 1970, when it arrived; None: by the clock.
    """
    found = fields(value, events, now)
    if isinstance(found, str):
        return found
    fixed = {name: found.pop(name, "") for name in RESERVED}
    return Event(**fixed, fields=found)


def fields(value: bytes, events: Events, now: float | None = None) -> dict[str, Any] | str:
    """As `decode`, for who takes in many: the event's fields as they stand there, checked; `time`
    is a float."""
    if len(value) > events.most_bytes:
        return f"it has {len(value)} bytes; give {events.most_bytes} at most"
    found = _read(value)
    if isinstance(found, str):
        return found
    of = events.find(found.get("type"))
    if of is None:
        known = ", ".join(each.name for each in events.types)
        return f"type is {_shown(found, 'type')}; give one of {known}"
    now = time.time() if now is None else now
    wrong = _version(found, of) or _names(found, of, events) or _time(found, events, now)
    if wrong:
        return wrong
    for field in of.fields:
        if wrong := _field(found, field):
            return wrong
    return found


def _read(value: bytes) -> dict[str, Any] | str:
    """The object; or why it is none."""
    if (found := _quickly(value)) is not None:
        return found
    try:
        text = value.decode()
        found = json.loads(text, parse_constant=_no_number, parse_float=_finite)
        if "\\u" in text:  # what is escaped may be half of a character, which is no text
            json.dumps(found, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        return f"byte {error.start} is no UTF-8; give JSON in UTF-8"
    except UnicodeEncodeError:
        return "a text has half of a surrogate pair; give whole characters"
    except _NotFinite as error:
        return f"{error} is no number of JSON; give finite numbers, or leave the field out"
    except RecursionError:
        return "it is nested too deep; give an object of plain fields"
    except ValueError as error:
        return f'it is no JSON ({error}); give one object, {{"id": …, "type": …}}'
    if not isinstance(found, dict):
        return f'it is a JSON {type(found).__name__}; give one object, {{"id": …, "type": …}}'
    return found


def _quickly(value: bytes) -> dict[str, Any] | None:
    """The object, where both readers read the same; None: the slow one is to say what it is."""
    if value.count(b"[") + value.count(b"{") > _NESTED:
        return None
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
    if type(found) is not dict:
        return None
    for each in found.values():
        kind = type(each)
        if kind is float:
            if not -_WIDE < each < _WIDE:
                return None
        elif (kind is list or kind is dict) and _LONG.search(value):
            return None
    return found


class _NotFinite(ValueError):
    pass


def _no_number(text: str) -> None:
    raise _NotFinite(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _NotFinite(text[:_LONGEST])
    return number


def _version(found: dict[str, Any], of: EventType) -> str:
    version = found.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        return f"version is {_shown(found, 'version')}; give the version of {of.name}, {of.version}"
    if version < of.oldest:
        return f"version is {version}; {of.name} is taken in from {of.oldest} on: update the sender"
    if version >= 2**31:
        return f"version is {version}; give the version of {of.name}, {of.version}"
    return ""


def _names(found: dict[str, Any], of: EventType, events: Events) -> str:
    for name, needed in (("id", True), ("user", True), ("item", of.item)):
        text = found.get(name, "" if not needed else None)
        if not isinstance(text, str) or (needed and not text):
            return f"{name} is {_shown(found, name)}; give a text that is not empty"
        if len(text) > events.most_letters:
            return f"{name} has {len(text)} letters; give {events.most_letters} at most"
        if "\0" in text:
            return f"{name} is {_shown(found, name)}; give a text without the character 0"
    return ""


def _time(found: dict[str, Any], events: Events, now: float) -> str:
    moment: Any = found.get("time")
    latest = now + events.future_seconds
    number = isinstance(moment, int | float) and not isinstance(moment, bool)
    if number and events.oldest_time <= moment <= latest:
        found["time"] = float(moment)
        return ""
    said = f"time is {_shown(found, 'time')}; give seconds since 1970, UTC, as a number"
    if not number:
        return said
    if not moment >= events.oldest_time:
        return f"{said}, {events.oldest_time:.0f} or later"
    more = ": these look like milliseconds" if moment >= _MILLISECONDS else ""
    return f"{said}, {latest:.0f} or earlier{more}"


def _field(found: dict[str, Any], field: Field) -> str:
    value = found.get(field.name)
    if value is None:
        if field.required and found["version"] >= field.since:
            return f"{field.name} is {_shown(found, field.name)}; give {_MEANING[field.kind]}"
        return ""
    if not _KINDS[field.kind](value):
        return f"{field.name} is {_shown(found, field.name)}; give {_MEANING[field.kind]}"
    for number in value if isinstance(value, list) else [value]:
        if field.least is not None and not number >= field.least:
            return f"{field.name} is {_shown(found, field.name)}; give {field.least:g} or more"
        if field.most is not None and not number <= field.most:
            return f"{field.name} is {_shown(found, field.name)}; give {field.most:g} or less"
    return ""


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_long(value: Any) -> bool:
    return _is_integer(value) and -(2**63) <= value < 2**63


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or _is_long(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_KINDS: dict[str, Callable[[Any], bool]] = {
    "text": _is_text,
    "number": _is_number,
    "integer": _is_long,
    "boolean": lambda value: isinstance(value, bool),
    "texts": lambda value: isinstance(value, list) and all(map(_is_text, value)),
    "numbers": lambda value: isinstance(value, list) and all(map(_is_number, value)),
}
_MEANING = {
    "text": "a text",
    "number": "a number",
    "integer": "an integer of 64 bits",
    "boolean": "true or false",
    "texts": "a list of texts",
    "numbers": "a list of numbers",
}


def _shown(found: dict[str, Any], name: str) -> str:
    if name not in found:
        return "missing"
    try:
        text = json.dumps(found[name], ensure_ascii=False)
    except (ValueError, RecursionError):  # an integer of thousands of digits
        return f"of type {type(found[name]).__name__}"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
