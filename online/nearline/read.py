"""Messages → events that the store is told of, and how many were of no use."""

import dataclasses
from collections.abc import Iterable
from typing import Any, NamedTuple

from podway.framework.config.online import Events, Nearline
from podway.online.events import door
from podway.online.queue.queue import Received
from podway.online.store.history import MICRO, Entry, mark

IMPRESSION = "impression"
_LONGEST = 100
"""Letters of a segment."""


class Told(NamedTuple):
    """An event, as the store is told of it."""

    id: str
    user: str
    entry: Entry
    """Of the user's history."""
    segment: str
    """Of the user, as the event says it; "": none."""


@dataclasses.dataclass(frozen=True)
class Read:
    """What a batch of messages says.

    Attributes:
      events: of the types of histories, each id once.
      shown: user → what was shown to the user.
      malformed: messages that the door refuses; the lander is who puts them aside.
      skewed: events from too far ahead.
      others: events of types that nobody here wants.
    """

    events: tuple[Told, ...]
    shown: dict[str, list[Entry]]
    malformed: int
    skewed: int
    others: int


def read(messages: Iterable[Received], nearline: Nearline, known: Events) -> Read:
    """The events of messages; `known` says which there are."""
    events: dict[str, Told] = {}
    shown: dict[str, list[Entry]] = {}
    malformed = skewed = others = 0
    types = frozenset(nearline.types)
    for message in messages:
        found = door.fields(message.value, known, message.published)
        if isinstance(found, str):
            malformed += 1
            continue
        id, user, type, time = found["id"], found["user"], found["type"], found["time"]
        item = found.get("item", "")
        if time > message.published + nearline.ahead_seconds:
            skewed += 1
        elif type in types and item:
            if id not in events:
                entry = Entry(round(time * MICRO), item, type, mark(id))
                events[id] = Told(id, user, entry, _segment(found, nearline.segment))
        elif type == IMPRESSION:
            shown.setdefault(user, []).extend(_shown(id, item, time, found.get("items")))
        else:
            others += 1
    return Read(tuple(events.values()), shown, malformed, skewed, others)


def _segment(found: dict[str, Any], field: str) -> str:
    value = found.get(field) if field else None
    return value if isinstance(value, str) and len(value) <= _LONGEST else ""


def _shown(id: str, item: str, time: float, items: object) -> list[Entry]:
    these = [item] if item else items
    if not isinstance(these, list):
        return []
    at, name = round(time * MICRO), mark(id)
    return [Entry(at, each, IMPRESSION, name) for each in these if isinstance(each, str) and each]
