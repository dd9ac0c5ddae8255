"""One event, and how it is written: a JSON object, one line.

    {"id": "…", "type": "play", "version": 1, "user": "u7", "item": "i3", "time": 1700000000.25,
     "seconds": 12.5}

`id` is made by who sends it, once: an event that arrives twice is one event. Fields beyond the
type's are kept as they are.
"""

import dataclasses
import json
import uuid
from collections.abc import Mapping
from typing import Any

from podway.framework.config.online.events import RESERVED
from podway.online.error import OnlineError

__all__ = ["RESERVED", "Event", "encode"]


@dataclasses.dataclass(frozen=True)
class Event:
    """What happened.

    Attributes:
      type: impression, click, play, rating, or one of the config.
      user: whose.
      item: of what; "" where it is of none.
      time: seconds since 1970, UTC, by the sender's clock.
      id: the same however often it arrives.
      version: of the type's schema.
      fields: everything else, as JSON has it.
    """

    type: str
    user: str
    item: str
    time: float
    id: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)
    version: int = 1
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if taken := [name for name in RESERVED if name in self.fields]:
            raise OnlineError(
                f"event {self.id!r}: fields has {', '.join(taken)}, which every event has of its"
                " own; give the event's argument of that name, or name the field otherwise"
            )


def encode(event: Event) -> bytes:
    """One line of JSON, without its end. Raises OnlineError: a value is none of JSON."""
    fixed = {name: getattr(event, name) for name in RESERVED}
    try:
        text = json.dumps(
            fixed | dict(event.fields), ensure_ascii=False, separators=(",", ":"), allow_nan=False
        )
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise OnlineError(
            f"event {event.id!r} of type {event.type!r} can't be written ({error}); give texts,"
            " finite numbers, booleans, and lists and objects of them"
        ) from None
