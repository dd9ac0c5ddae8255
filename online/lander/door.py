"""What the lander asks of the events' schemas: which columns there are, and what an event is."""

import dataclasses
import json
from collections.abc import Callable, Mapping

import pyarrow as pa

from podway.online.events.event import RESERVED, Event

UNKNOWN = "unknown"
"""The column of the fields that no schema has, as JSON."""

FIXED = {
    "id": pa.string(),
    "type": pa.string(),
    "version": pa.int32(),
    "user": pa.string(),
    "item": pa.string(),
    "time": pa.timestamp("us", "UTC"),
}
"""The columns of all events."""


@dataclasses.dataclass(frozen=True)
class Door:
    """Attributes:
    fields: the typed fields of all schemas, and their types.
    required: type of event → the fields that it must have, and its versions.
    judge: a message → the event, or why it is none.
    """

    fields: Mapping[str, pa.DataType]
    required: Mapping[str, tuple[tuple[str, ...], tuple[int, ...]]]
    judge: Callable[[bytes], "Event | str"]

    @property
    def schema(self) -> pa.Schema:
        """Of the shards."""
        return pa.schema([*FIXED.items(), *self.fields.items(), (UNKNOWN, pa.string())])


def plain() -> Door:
    """Provisional."""

    def judge(value: bytes) -> Event | str:
        try:
            found = json.loads(value)
        except (ValueError, RecursionError) as error:
            return f"no JSON: {error}"
        if not isinstance(found, dict):
            return "no object"
        try:
            fixed = {name: found.pop(name) for name in RESERVED}
        except KeyError as error:
            return f"no {error}"
        if not isinstance(fixed["time"], int | float) or not 0 < fixed["time"] < 4e9:
            return "time"
        for name in ("id", "user", "type", "item"):
            if not isinstance(fixed[name], str):
                return name
            if not fixed[name] and name != "item":
                return f"empty {name}"
        if fixed["type"] not in ("play", "click", "rating", "impression") or fixed["version"] != 1:
            return "type"
        return Event(**fixed, fields=found)

    number = pa.float64()
    every = dict.fromkeys(("play", "click", "rating", "impression"), ((), (1,)))
    return Door({"seconds": number, "rating": number}, every, judge)
