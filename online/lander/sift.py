"""Events by the clock: which came late, and which cannot have happened when they say."""

import dataclasses

import numpy as np
import pyarrow as pa

from podway.framework.config.online import Lander
from podway.online.lander.parse import Parsed

MALFORMED, AHEAD, OLD = "malformed", "ahead", "old"
"""Why a message is dead."""
LANDED, LATE, REPEATED, THERE = "landed", "late", "repeated", "there"
"""Kinds of the other events: written to a shard; of these late, or with an id that the lander saw
lately; and delivered again, with a shard that has them."""

_DAY = 86_400.0


@dataclasses.dataclass(frozen=True)
class Sifted:
    """Attributes:
    table: the events that are landed.
    rows: which message each row is.
    dead: (which message, the kind of what is wrong, the reason).
    late: how many of the events are late.
    """

    table: pa.Table
    rows: np.ndarray
    dead: list[tuple[int, str, str]]
    late: int


def sift(parsed: Parsed, published: np.ndarray, config: Lander) -> Sifted:
    """Judges events by when their messages were published (seconds since 1970, each message's):
    the same at each delivery, unlike the time of arrival."""
    dead = [(at, MALFORMED, why) for at, why in parsed.bad]
    time = parsed.table["time"].cast(pa.int64()).to_numpy() / 1e6
    age = published[parsed.rows] - time
    ahead, old = age < -config.ahead_seconds, age > config.oldest_days * _DAY
    for row in np.flatnonzero(ahead):
        why = (
            f"time is {-age[row]:.0f} s after the message, and online.lander.ahead_seconds is"
            f" {config.ahead_seconds:g}: set the sender's clock"
        )
        dead.append((int(parsed.rows[row]), AHEAD, why))
    for row in np.flatnonzero(old):
        why = (
            f"time is {age[row] / _DAY:.1f} days before the message, and"
            f" online.lander.oldest_days is {config.oldest_days:g}"
        )
        dead.append((int(parsed.rows[row]), OLD, why))
    late = int((age > config.late_seconds).sum() - old.sum())
    good = ~(ahead | old)
    if good.all():
        return Sifted(parsed.table, parsed.rows, dead, late)
    return Sifted(parsed.table.filter(pa.array(good)), parsed.rows[good], dead, late)
