"""What events may say: their types, the fields of each, and what is refused at the door."""

import dataclasses
import math
from typing import Literal

from podway.framework.error import check

RESERVED = ("id", "type", "version", "user", "item", "time")
"""Fields that every event has; no type may have one of its own by these names."""
Kind = Literal["text", "number", "integer", "boolean", "texts", "numbers"]


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of a type of events."""

    name: str
    """As it stands in the event."""
    kind: Kind
    """text, number, integer, boolean, or a list of texts or of numbers."""
    required: bool = False
    """Whether an event without it is refused."""
    least: float | None = None
    """The smallest number that may be."""
    most: float | None = None
    """The largest number that may be."""
    since: int = 1
    """The first version of the type that has it; older events need not."""

    def __post_init__(self):
        where = f"events: field {self.name!r}"
        check(self.name.isidentifier(), f"{where} is no name; give letters, digits and '_'")
        check(self.name not in RESERVED, f"{where} is one that every event has; give another name")
        check(self.since >= 1, f"{where}: since is {self.since}; give 1 or more")
        for bound in (self.least, self.most):
            check(
                bound is None
                or (math.isfinite(bound) and self.kind not in ("text", "boolean", "texts")),
                f"{where}: {bound} bounds no {self.kind}; give bounds to numbers alone",
            )
        check(
            self.least is None or self.most is None or self.least <= self.most,
            f"{where}: least is {self.least} and most {self.most}; give least no more than most",
        )


@dataclasses.dataclass(frozen=True)
class EventType:
    """A type of events, and what it has beside what all have."""

    name: str
    """What `type` says."""
    version: int = 1
    """The newest that is written here. Older ones are taken in as they are, and newer ones, whose
    further fields are kept; so senders and readers need not change at once."""
    oldest: int = 1
    """The oldest that is still taken in."""
    item: bool = True
    """Whether an event without an item is refused."""
    fields: tuple[Field, ...] = ()
    """Its own."""

    def __post_init__(self):
        where = f"events: type {self.name!r}"
        check(self.name.isidentifier(), f"{where} is no name; give letters, digits and '_'")
        check(
            1 <= self.oldest <= self.version,
            f"{where}: oldest is {self.oldest} and version {self.version}; give 1 <= oldest <="
            " version",
        )
        names = [field.name for field in self.fields]
        twice = sorted({name for name in names if names.count(name) > 1})
        check(not twice, f"{where} has {twice} twice; give each field once")
        for field in self.fields:
            check(
                field.since <= self.version,
                f"{where}: field {field.name!r} is of version {field.since}, and the type's is"
                f" {self.version}; raise `version` with each new field",
            )


IMPRESSION = EventType(
    "impression",
    item=False,
    fields=(
        Field("request", "text"),
        Field("items", "texts"),
        Field("reasons", "texts"),
        Field("source", "text"),
        Field("model", "text"),
        Field("model_version", "integer"),
        Field("arm", "text"),
        Field("segment", "text"),
        Field("device", "text"),
    ),
)
"""What was shown at once: `items` in their order, or one `item`."""
EXPOSURE = EventType(
    "exposure",
    item=False,
    fields=(Field("trial", "text", required=True), Field("arm", "text", required=True)),
)
"""A user saw what an arm of a trial does."""
CLICK = EventType(
    "click", fields=(Field("request", "text"), Field("position", "integer", least=0.0))
)
"""An item was chosen."""
PLAY = EventType("play", fields=(Field("seconds", "number", least=0.0), Field("request", "text")))
"""An item was heard, seen or read, for so long."""
RATING = EventType("rating", fields=(Field("rating", "number", required=True),))
"""An item was rated."""


@dataclasses.dataclass(frozen=True)
class Events:
    """Which events are taken in."""

    types: tuple[EventType, ...] = (IMPRESSION, EXPOSURE, CLICK, PLAY, RATING)
    """All of them; what is of another type is refused."""
    future_seconds: float = 86_400.0
    """How far a sender's clock may be ahead of the reader's."""
    oldest_time: float = 946_684_800.0
    """Seconds since 1970; what is said to be earlier was said by a wrong clock. 2000-01-01."""
    most_bytes: int = 65_536
    """Of one event."""
    most_letters: int = 512
    """Of an id, a user and an item."""

    def __post_init__(self):
        names = [of.name for of in self.types]
        twice = sorted({name for name in names if names.count(name) > 1})
        check(bool(names), "events.types is empty; give one type or more")
        check(not twice, f"events.types has {twice} twice; give each type once")
        check(
            0 <= self.future_seconds < math.inf,
            f"events.future_seconds is {self.future_seconds}; give 0 or more",
        )
        check(math.isfinite(self.oldest_time), "events.oldest_time is no number; give seconds")
        for name in ("most_bytes", "most_letters"):
            value = getattr(self, name)
            check(value >= 1, f"events.{name} is {value}; give 1 or more")

    def find(self, name: object) -> EventType | None:
        """The type of a name; None: there is none."""
        for of in self.types:
            if of.name == name:
                return of
        return None
