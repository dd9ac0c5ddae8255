"""What the lander asks of the events' schemas: the columns, and what is an event."""

import dataclasses
from collections.abc import Callable, Mapping

import pyarrow as pa

from podway.framework.config.online import Events
from podway.framework.error import check
from podway.online.events import door
from podway.online.events.event import Event

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

_KINDS = {
    "text": pa.string(),
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "texts": pa.list_(pa.string()),
    "numbers": pa.list_(pa.float64()),
}


@dataclasses.dataclass(frozen=True)
class Door:
    """Attributes:
    events: the schemas.
    fields: the fields of all types, and those of columns.
    judge: a message → the event, or why it is none.
    seen: names of fields that came so far. Arrow is asked for these alone: of each column that it
      is asked for it writes a null for each event, a third of its time.
    """

    events: Events
    fields: Mapping[str, pa.DataType]
    judge: Callable[[bytes], Event | str]
    seen: set[str] = dataclasses.field(default_factory=set, compare=False)

    @property
    def schema(self) -> pa.Schema:
        """Of the shards."""
        return pa.schema([*FIXED.items(), *self.fields.items(), (UNKNOWN, pa.string())])


def of(events: Events) -> Door:
    """The door of a config. Raises ConfigError: two types cannot share a table."""
    kinds: dict[str, tuple[str, str]] = {}
    for kind in events.types:
        for field in kind.fields:
            before, first = kinds.setdefault(field.name, (field.kind, kind.name))
            check(
                before == field.kind,
                f"events: {field.name!r} is a {before} of {first} and a {field.kind} of"
                f" {kind.name}; the lander has one column for it: give one of them another name",
            )
            check(
                field.name != UNKNOWN,
                f"events: {kind.name} has a field {UNKNOWN!r}, as the lander calls the fields that"
                " no type has; give it another name",
            )
    fields = {name: _KINDS[kind] for name, (kind, _) in kinds.items()}
    return Door(events, fields, door.judge(events))
