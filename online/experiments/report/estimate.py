"""Differences between arms, with intervals. NumPy and SciPy; pure functions of arrays.

Welch's interval of the difference of two means over users. With what users did before, CUPED: each
outcome is taken less its regression on that covariate, which randomisation has made the same in all
arms, so that the difference stays and its variance falls by the squared correlation (Deng et al.,
Improving the Sensitivity of Online Controlled Experiments by Utilizing Pre-Experiment Data, 2013).
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

FEWEST = 2
"""Users of an arm, without whom nothing is said of it."""
MISMATCH = 0.001
"""Users are not divided as they should be where chance alone would do this as seldom."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """An arm beside the control.

    Attributes:
      difference: of the means, the arm's less the control's; NaN: too few users.
      low: of its interval.
      high: of its interval.
      p: how likely a difference as large, either way, is by luck alone.
      relative: the difference as part of the control's mean; NaN where that is not above 0.
      relative_low: of its interval.
      relative_high: of its interval.
      variance_kept: part of the variance that CUPED left; 1: there was no covariate.
    """

    difference: float
    low: float
    high: float
    p: float
    relative: float
    relative_low: float
    relative_high: float
    variance_kept: float


_NO = math.nan
NOTHING = Estimate(_NO, _NO, _NO, _NO, _NO, _NO, _NO, 1.0)


def adjusted(arm: np.ndarray, after: np.ndarray, before: np.ndarray | None) -> np.ndarray:
    """Outcomes less what the covariate explains; as they are where there is none, or it is the same
    for all.

    The slope is that within arms, so that a difference between arms is not taken for the
    covariate's doing.
    """
    if before is None or len(before) == 0:
        return after
    x, y = before.astype(float).copy(), after.astype(float).copy()
    for each in np.unique(arm):
        mine = arm == each
        x[mine] -= x[mine].mean()
        y[mine] -= y[mine].mean()
    spread = float(x @ x)
    if not spread > 0:
        return after
    return after - (x @ y) / spread * (before - before.mean())


def compare(
    control: np.ndarray,
    treated: np.ndarray,
    level: float = 0.95,
    variance_kept: float = 1.0,
) -> Estimate:
    """Two arms' users, [users] each."""
    if min(len(control), len(treated)) < FEWEST:
        return dataclasses.replace(NOTHING, variance_kept=variance_kept)
    means = float(control.mean()), float(treated.mean())
    squares = control.var(ddof=1) / len(control), treated.var(ddof=1) / len(treated)
    difference, square = means[1] - means[0], float(sum(squares))
    if not square > 0:
        same = float(difference == 0)
        relative = difference / means[0] if means[0] > 0 else math.nan
        return Estimate(
            difference, difference, difference, same, relative, relative, relative, variance_kept
        )
    freedom = square**2 / (
        squares[0] ** 2 / (len(control) - 1) + squares[1] ** 2 / (len(treated) - 1)
    )
    error = math.sqrt(square)
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * error
    p = 2 * float(stats.t.sf(abs(difference) / error, freedom))
    relative = _relative(means, (float(squares[0]), float(squares[1])), half / error)
    return Estimate(difference, difference - half, difference + half, p, *relative, variance_kept)


def _relative(
    means: tuple[float, float], squares: tuple[float, float], width: float
) -> tuple[float, float, float]:
    """The ratio of the means less 1, by Fieller's interval, which holds where the control's mean is
    known badly, too; NaN where that may be 0."""
    control, treated = means
    if control <= 0:
        return math.nan, math.nan, math.nan
    ratio = treated / control
    g = width**2 * squares[0] / control**2
    if g >= 1:
        return ratio - 1, math.nan, math.nan
    half = width / control * math.sqrt(squares[1] * (1 - g) + ratio**2 * squares[0])
    return ratio - 1, (ratio - half) / (1 - g) - 1, (ratio + half) / (1 - g) - 1


def estimates(
    arm: np.ndarray,
    after: np.ndarray,
    before: np.ndarray | None,
    arms: int,
    level: float = 0.95,
) -> list[Estimate]:
    """Each arm but the first beside the first."""
    values = adjusted(arm, after, before)
    groups = [values[arm == each] for each in range(arms)]
    kept = 1.0
    if values is not after:
        raw = [after[arm == each] for each in range(arms)]
        left, whole = (
            sum(((each - each.mean()) ** 2).sum() for each in part if len(each))
            for part in (groups, raw)
        )
        kept = float(left / whole) if whole > 0 else 1.0
    return [compare(groups[0], each, level, kept) for each in groups[1:]]


def mismatch(counts: Sequence[int], weights: Sequence[float]) -> float:
    """The p-value of a χ² test that users were divided by the weights; NaN: there are none.

    Where it is below MISMATCH, something takes users from an arm, or loses their events, and no
    difference between the arms means anything.
    """
    total = sum(counts)
    if not total:
        return math.nan
    expected = np.asarray(weights, float) / sum(weights) * total
    return float(stats.chisquare(np.asarray(counts, float), expected).pvalue)


def together(p: Sequence[float]) -> list[float]:
    """The p-values of several comparisons, raised so that all may be read together (Holm, 1979);
    what is no number stays that, and does not count."""
    finite = sorted((each, at) for at, each in enumerate(p) if math.isfinite(each))
    found, highest = list(p), 0.0
    for rank, (each, at) in enumerate(finite):
        highest = max(highest, min(1.0, each * (len(finite) - rank)))
        found[at] = highest
    return found
