"""What is popular: counts that halve with time, of all users or of a segment.

An event counts weight · 2^(time / half life), from a time on that all share; so the sum does not
depend on the order in which events come, and what counts now is one factor for all. (Cormode et
al., 2009, Forward Decay.)

A value also has the ids of what each writer counted last. An event is counted by a writer that
sees it neither there nor in its user's history, which it reads after the counts and writes after
them; so no kill between the two counts one twice, or not at all (see apply.py).
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import orjson

from podway.online.error import StoreError

FORMAT = 1
_FAR = 60.0
"""Half lives from `at` on after which scores are written anew: 2^60 is far from overflow."""
_WRITERS, _WRITER_SECONDS = 64, 86_400.0
"""Writers whose last ids are kept, and how long after they last wrote."""


@dataclasses.dataclass(frozen=True)
class Counts:
    """Counts of one slot, and of all users or a segment.

    Attributes:
      at: seconds since 1970 at which an event counts its weight.
      scores: item → sum.
      last: writer → when it wrote, and the ids that it counted then.
      segments: that have counts of their own in this slot; in the counts of all users.
    """

    at: float = 0.0
    scores: Mapping[str, float] = dataclasses.field(default_factory=dict)
    last: Mapping[str, tuple[float, tuple[str, ...]]] = dataclasses.field(default_factory=dict)
    segments: tuple[str, ...] = ()

    def knows(self) -> set[str]:
        """Ids that some writer counted last."""
        return {id for _, ids in self.last.values() for id in ids}


class Counted(NamedTuple):
    """An event that counts."""

    id: str
    item: str
    time: float
    weight: float


NOTHING = Counts()


def add(
    counts: Counts,
    events: Iterable[Counted],
    writer: str,
    now: float,
    *,
    half_life: float,
    most: int,
    segments: Iterable[str] = (),
    most_segments: int = 0,
) -> Counts:
    """The counts with further events, which are this writer's last ones then.

    Args:
      counts: as read.
      events: of which none is counted.
      writer: who counts.
      now: seconds since 1970.
      half_life: in seconds.
      most: items that are kept at least; twice as many may be there.
      segments: of these events.
      most_segments: that are kept.
    """
    events = tuple(events)
    at = counts.at if counts.scores else now
    factor = 1.0
    if now - at > _FAR * half_life:
        factor, at = 2.0 ** max(-1000.0, (at - now) / half_life), now
    scores = dict(counts.scores)
    if factor != 1.0:
        scores = {item: score * factor for item, score in scores.items()}
    for event in events:
        worth = event.weight * 2.0 ** _bounded((event.time - at) / half_life)
        scores[event.item] = scores.get(event.item, 0.0) + worth
    if len(scores) > 2 * most:
        best = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:most]
        scores = dict(best)
    kept = sorted(
        ((name, each) for name, each in counts.last.items() if name != writer),
        key=lambda pair: -pair[1][0],
    )
    last = {name: each for name, each in kept[: _WRITERS - 1] if now - each[0] < _WRITER_SECONDS}
    last[writer] = now, tuple(event.id for event in events)
    known = dict.fromkeys((*counts.segments, *segments))
    return Counts(at, scores, last, tuple(known)[:most_segments])


def ranking(
    parts: Iterable[Counts], now: float, *, half_life: float, most: int
) -> list[tuple[str, float]]:
    """Items and what they count now, the most popular first, of counts of several slots."""
    total: dict[str, float] = {}
    for counts in parts:
        factor = 2.0 ** _bounded((counts.at - now) / half_life)
        for item, score in counts.scores.items():
            total[item] = total.get(item, 0.0) + score * factor
    best = sorted(total.items(), key=lambda pair: (-pair[1], pair[0]))
    return best[:most]


def pack(counts: Counts) -> bytes:
    """As the store has it. Raises StoreError: a sum is out of bounds."""
    if not all(map(math.isfinite, (counts.at, *counts.scores.values()))):
        raise StoreError("a count is infinite; give nearline.weights that are smaller")
    return orjson.dumps({"format": FORMAT, **vars(counts)})


def unpack(content: bytes) -> Counts:
    """What `pack` wrote. Raises StoreError: it is no such thing, or of a newer format."""
    try:
        value = orjson.loads(content)
        format = value["format"]
        if format == FORMAT:
            last = {name: (time, tuple(ids)) for name, (time, ids) in value["last"].items()}
            return Counts(float(value["at"]), value["scores"], last, tuple(value["segments"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"a value of {len(content)} bytes has no counts ({error!r}); delete the counts"
        ) from error
    raise StoreError(
        f"counts have format {format}, and this Podway reads format {FORMAT}: upgrade Podway, or"
        " delete the counts"
    )


def _bounded(exponent: float) -> float:
    """So that no time, however wrong, makes a score infinite."""
    return min(max(exponent, -1000.0), 500.0) if math.isfinite(exponent) else -1000.0
