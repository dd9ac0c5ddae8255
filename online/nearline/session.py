"""Features of a user's session: a pure function of the history and the time at which it is asked.

Whoever has the history computes them for its own moment; the store has them as of the last event,
for those who read nothing else.
"""

import dataclasses
import itertools
from collections import Counter

import orjson

from podway.online.error import StoreError
from podway.online.store.columns import UNITS, Columns
from podway.online.store.history import MICRO, History

FORMAT = 1
_SOON = 1_000
"""Microseconds after the last event at which the store has the session."""


@dataclasses.dataclass(frozen=True)
class Session:
    """The last session of a history, as of a time.

    Attributes:
      begun: seconds since 1970 of its first event; 0.0: there was none.
      ended: seconds since 1970 of its last event.
      events: how many.
      items: different ones.
      types: type of event → how many.
      gap: seconds from the event before to its last one, also of another session; -1.0: none is.
      known: events of the history, of all sessions.
      open: whether the next event would be one of it.
    """

    begun: float = 0.0
    ended: float = 0.0
    events: int = 0
    items: int = 0
    types: dict[str, int] = dataclasses.field(default_factory=dict)
    gap: float = -1.0
    known: int = 0
    open: bool = False


def session(history: History, time: float, seconds: float) -> Session:
    """The session of the events before `time`, which ends where none came for `seconds`."""
    entries = history.before(time).entries
    if not entries:
        return Session()
    pause = round(seconds * MICRO)
    first = len(entries) - 1
    while first and entries[first].time - entries[first - 1].time < pause:
        first -= 1
    of = entries[first:]
    gap = (entries[-1].time - entries[-2].time) / MICRO if len(entries) > 1 else -1.0
    return Session(
        begun=of[0].time / MICRO,
        ended=of[-1].time / MICRO,
        events=len(of),
        items=len({entry.item for entry in of}),
        types=dict(Counter(entry.type for entry in of)),
        gap=gap,
        known=len(entries),
        open=round(time * MICRO) - of[-1].time < pause,
    )


def latest(columns: Columns, seconds: float) -> Session:
    """`session` of a history just after its last event, by what its last session has alone."""
    pause, unit, last = round(seconds * MICRO), UNITS[columns.unit], columns.last
    steps, count = columns.steps, len(columns.lengths)
    first, begun = count - 1, last
    while first > 0 and (step := steps[first - 1] * unit) < pause:
        begun -= step
        first -= 1
    lengths = columns.lengths[first:]
    ends = itertools.accumulate(lengths, initial=len(columns.items) - sum(lengths))
    types = dict.fromkeys(columns.types, count - first)
    if columns.kinds:
        found = Counter(columns.kinds[first:])
        types = {columns.types[kind]: number for kind, number in found.items()}
    return Session(
        begun=begun / MICRO,
        ended=last / MICRO,
        events=count - first,
        items=len({columns.items[start:end] for start, end in itertools.pairwise(ends)}),
        types=types,
        gap=steps[-1] * unit / MICRO if count > 1 else -1.0,
        known=count,
        open=pause > _SOON,
    )


def pack(found: Session) -> bytes:
    """As the store has it."""
    return orjson.dumps({"format": FORMAT, **vars(found)})


def unpack(content: bytes) -> Session:
    """What `pack` wrote. Raises StoreError."""
    try:
        value = orjson.loads(content)
        if value.pop("format") == FORMAT:
            return Session(**value)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"a value of {len(content)} bytes is no session ({error!r})") from error
    raise StoreError(f"a session has another format than {FORMAT}; upgrade Podway")
