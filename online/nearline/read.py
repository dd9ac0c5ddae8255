"""Messages → events that the store is told of, and how many were of no use."""

import dataclasses
from collections.abc import Iterable

from podway.framework.config.online import Events, Nearline
from podway.online.events import door
from podway.online.events.event import Event
from podway.online.queue.queue import Received
from podway.online.store.history import MICRO, Entry, mark

IMPRESSION = "impression"


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

    events: tuple[Event, ...]
    shown: dict[str, list[Entry]]
    malformed: int
    skewed: int
    others: int


def read(messages: Iterable[Received], nearline: Nearline, known: Events) -> Read:
    """The events of messages; `known` says which there are."""
    events: dict[str, Event] = {}
    shown: dict[str, list[Entry]] = {}
    malformed = skewed = others = 0
    types = frozenset(nearline.types)
    for message in messages:
        event = door.decode(message.value, known, message.published)
        if isinstance(event, str):
            malformed += 1
        elif event.time > message.published + nearline.ahead_seconds:
            skewed += 1
        elif event.type in types and event.item and event.user:
            events.setdefault(event.id, event)
        elif event.type == IMPRESSION and event.user:
            shown.setdefault(event.user, []).extend(_shown(event))
        else:
            others += 1
    return Read(tuple(events.values()), shown, malformed, skewed, others)


def entry(event: Event) -> Entry:
    """The event as one of a history."""
    return Entry(round(event.time * MICRO), event.item, event.type, mark(event.id))


def _shown(event: Event) -> list[Entry]:
    items = event.fields.get("items") if not event.item else [event.item]
    if not isinstance(items, list):
        return []
    time, name = round(event.time * MICRO), mark(event.id)
    return [Entry(time, item, IMPRESSION, name) for item in items if isinstance(item, str) and item]
