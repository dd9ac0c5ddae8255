"""What to take of the candidates: the simplest that is not shown to be worse than the best."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from podway.framework.comparison import significance
from podway.launch.advise.measure import Row, difference


@dataclasses.dataclass(frozen=True)
class Advice:
    """What to take.

    Attributes:
      best: the row with the best metric within the budget.
      taken: the row to take.
      behind: by row, the metric less the best one's, where both are known of the same users.
      why: in a sentence.
    """

    best: Row
    taken: Row
    behind: dict[str, significance.Interval]
    why: str


def advise(rows: Sequence[Row], *, largest_is_best: bool, loss: float) -> Advice | None:
    """The advice; None where nothing within the budget has been evaluated.

    Args:
      rows: all candidates.
      largest_is_best: of the metric.
      loss: share of the best metric that may be given up for a simpler or smaller model.
    """
    sign = 1.0 if largest_is_best else -1.0
    known = [
        row for row in rows if row.fits and row.worth is not None and math.isfinite(row.worth.value)
    ]
    if not known:
        return None
    best = max(known, key=lambda row: sign * row.worth.value)  # type: ignore[union-attr]
    assert best.worth is not None
    behind: dict[str, significance.Interval] = {}
    eligible = []
    for row in known:
        assert row.worth is not None
        found = difference(best.worth, row.worth)
        if found is not None:
            behind[row.candidate.name] = found
        if row is best or _as_good(sign, best.worth.value, row.worth.value, found, loss):
            eligible.append(row)
    taken = min(eligible, key=lambda row: (not row.candidate.simple, row.weights, row.latency))
    return Advice(best, taken, behind, _why(best, taken, loss))


def _as_good(
    sign: float, best: float, value: float, found: significance.Interval | None, loss: float
) -> bool:
    """Whether a model is not shown to be worse by more than `loss`."""
    margin = loss * abs(best)
    if found is None:
        return sign * (value - best) >= -margin
    highest = found.high if sign > 0 else -found.low
    return highest >= -margin and sign * (value - best) >= -max(margin, _width(found))


def _width(found: significance.Interval) -> float:
    return (found.high - found.low) / 2


def _why(best: Row, taken: Row, loss: float) -> str:
    if taken is best:
        return "it is the best within the budget, and nothing simpler or smaller is as good"
    simpler = "simpler" if taken.candidate.simple else "smaller"
    margin = f" by more than {100 * loss:g} %" if loss else ""
    return (
        f"it is {simpler} than {best.candidate.name}, the best, and over the same users not shown"
        f" to be worse{margin}"
    )
