"""How often what was recommended was taken, with intervals over users."""

import collections
import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

_Z = 1.96
"""Quantile of the normal distribution for 95 %."""


@dataclasses.dataclass(frozen=True)
class Visit:
    """One visit.

    Attributes:
      user: whose.
      phase: what of the story it belongs to.
      version: of the model that answered; 0: none did, it was a fallback.
      hit: whether anything that was shown was taken.
      seconds: that the answer took.
    """

    user: int
    phase: str
    version: int
    hit: bool
    seconds: float


@dataclasses.dataclass(frozen=True)
class Rate:
    """A share, or a difference of two, and its interval of 95 %."""

    value: float
    low: float
    high: float
    visits: int
    users: int

    def __str__(self) -> str:
        return f"{self.value:.1%} [{self.low:.1%}, {self.high:.1%}]"


def rate(visits: Iterable[Visit]) -> Rate:
    """Share of the visits with a hit. Users are drawn, not visits: those of one are alike, so that
    the interval is that of a ratio over users (linearised)."""
    of_user = _by_user(visits)
    counts = np.array([count for count, _ in of_user.values()], float)
    hits = np.array([hit for _, hit in of_user.values()], float)
    if not counts.size:
        return Rate(float("nan"), float("nan"), float("nan"), 0, 0)
    value = hits.sum() / counts.sum()
    return _interval(value, (hits - value * counts) / counts.mean(), int(counts.sum()))


def difference(before: Sequence[Visit], after: Sequence[Visit]) -> Rate:
    """How much higher the share is after than before, of the users who came in both: paired."""
    first, second = _by_user(before), _by_user(after)
    both = sorted(first.keys() & second.keys())
    deltas = np.array(
        [second[user][1] / second[user][0] - first[user][1] / first[user][0] for user in both]
    )
    if deltas.size < 2:
        return Rate(float("nan"), float("nan"), float("nan"), 0, len(both))
    visits = sum(first[user][0] + second[user][0] for user in both)
    return _interval(deltas.mean(), deltas - deltas.mean(), visits)


def _by_user(visits: Iterable[Visit]) -> dict[int, tuple[int, int]]:
    found: dict[int, tuple[int, int]] = collections.defaultdict(lambda: (0, 0))
    for visit in visits:
        count, hits = found[visit.user]
        found[visit.user] = count + 1, hits + visit.hit
    return found


def _interval(value: float, residuals: np.ndarray, visits: int) -> Rate:
    users = residuals.size
    spread = residuals.std(ddof=1) / np.sqrt(users) if users > 1 else float("nan")
    return Rate(float(value), float(value - _Z * spread), float(value + _Z * spread), visits, users)
