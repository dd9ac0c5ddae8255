"""Lists of what is popular, made of the counts: what a gateway reads where nothing else answers."""

import json
from collections.abc import Sequence

from podway.framework.config.online import Nearline
from podway.online.nearline import counts
from podway.online.nearline.apply import key
from podway.online.nearline.counts import Counts
from podway.online.store.store import STATE, Store

POPULAR, SEGMENTS = "list/popular", "list/segments"
"""Of the kind `state`: [[item, count], …], best first; that of a segment at POPULAR/SEGMENT; and
[segment, …]."""


def popular(
    store: Store, nearline: Nearline, now: float, segment: str = ""
) -> list[tuple[str, float]]:
    """Items and what they count now, of all users or of a segment. Raises StoreError."""
    return _ranking(_read(store, nearline, [segment])[segment], nearline, now)


def segments(store: Store, nearline: Nearline) -> list[str]:
    """That have counts. Raises StoreError."""
    parts = _read(store, nearline, [""])[""]
    return sorted({name for each in parts for name in each.segments})[: nearline.segments]


def publish(store: Store, nearline: Nearline, now: float) -> None:
    """Writes the lists; whoever does so writes the same. Raises StoreError."""
    names = segments(store, nearline)
    found = _read(store, nearline, ["", *names])
    values = {
        f"{POPULAR}/{name}" if name else POPULAR: _packed(_ranking(parts, nearline, now))
        for name, parts in found.items()
    }
    store.write(STATE, {**values, SEGMENTS: _packed(names)})


def _read(store: Store, nearline: Nearline, names: Sequence[str]) -> dict[str, list[Counts]]:
    """The counts of segments, slot by slot."""
    places = [(slot, name) for name in names for slot in range(nearline.slots)]
    values = store.read(STATE, [key(*place) for place in places])
    found: dict[str, list[Counts]] = {name: [] for name in names}
    for (_, name), value in zip(places, values, strict=True):
        if value is not None:
            found[name].append(counts.unpack(value.content))
    return found


def _ranking(parts: Sequence[Counts], nearline: Nearline, now: float) -> list[tuple[str, float]]:
    half_life = nearline.half_life_hours * 3600
    return counts.ranking(parts, now, half_life=half_life, most=nearline.popular)


def _packed(rows: Sequence[object]) -> bytes:
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()
