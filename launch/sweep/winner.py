"""The rule of the winner: the cheapest of the candidates that are as good as the best.

"As good" is what noise leaves open: within one standard error of the difference, as Breiman et al.
(1984, section 3.4.3) choose a tree, but of the *difference* from the best one, as both are measured
on the same users and with the same seeds (Nadeau and Bengio 2003 on why pairs).
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A trial that was trained with several seeds.

    Attributes:
      number: of the trial.
      seeds: the metric with each seed, in their order.
      users: the metric of each user, averaged over the seeds; None: it has none.
      cost: what it costs, what counts most first.
    """

    number: int
    seeds: Sequence[float]
    users: np.ndarray | None
    cost: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return float(np.mean(self.seeds))


@dataclasses.dataclass(frozen=True)
class Standing:
    """How a candidate stands beside the best one.

    Attributes:
      mean: of its metric over the seeds.
      behind: how much worse that is than the best one's; 0 of the best.
      error: standard error of that difference.
      as_good: whether the difference is within the errors that are let pass.
    """

    mean: float
    behind: float
    error: float
    as_good: bool


@dataclasses.dataclass(frozen=True)
class Decision:
    """Which trial wins.

    Attributes:
      winner: its number.
      best: number of the candidate with the best mean.
      standings: of each candidate, by number.
    """

    winner: int
    best: int
    standings: Mapping[int, Standing]


def decide(
    candidates: Sequence[Candidate], *, largest_is_best: bool, errors: float = 1.0
) -> Decision | None:
    """The winner; None where no candidate has a number.

    Args:
      candidates: trained with the same seeds.
      largest_is_best: of the metric.
      errors: standard errors within which a candidate is as good as the best.
    """
    sign = 1.0 if largest_is_best else -1.0
    real = [each for each in candidates if math.isfinite(each.mean)]
    if not real:
        return None
    best = max(real, key=lambda each: (sign * each.mean, [-cost for cost in each.cost]))
    standings = {}
    for each in real:
        behind = sign * (best.mean - each.mean)
        error = standard_error(best, each)
        standings[each.number] = Standing(each.mean, behind, error, behind <= errors * error)
    eligible = [each for each in real if each is best or standings[each.number].as_good]
    winner = min(eligible, key=lambda each: (each.cost, -sign * each.mean, each.number))
    return Decision(winner.number, best.number, standings)


def standard_error(first: Candidate, second: Candidate) -> float:
    """Of the difference of two candidates' means: over users and over seeds, both in pairs."""
    if first is second:
        return 0.0
    parts = [np.asarray(first.seeds, float) - np.asarray(second.seeds, float)]
    ours, theirs = first.users, second.users
    if ours is not None and theirs is not None and len(ours) == len(theirs):
        parts.append(ours - theirs)  # other data have other users
    return math.sqrt(sum(_squared(part) for part in parts))


def _squared(differences: np.ndarray) -> float:
    """The squared standard error of their mean; of a single one nothing is known."""
    count = len(differences)
    return float(differences.var(ddof=1) / count) if count > 1 else 0.0


def front(rows: Sequence[Sequence[float]]) -> list[int]:
    """Places of the rows that no other row beats: in nothing worse, in something better.

    All numbers should be small. A row with what is not a number is on no front; of equal rows the
    first is.
    """
    found = []
    for at, row in enumerate(rows):
        if any(math.isnan(value) for value in row):
            continue
        beaten = any(
            all(theirs <= ours for theirs, ours in zip(other, row, strict=True))
            and (list(other) != list(row) or place < at)
            for place, other in enumerate(rows)
            if place != at and not any(math.isnan(value) for value in other)
        )
        if not beaten:
            found.append(at)
    return found
