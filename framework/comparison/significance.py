"""Is it a difference, or luck? Paired over users, and over seeds. NumPy and SciPy.

Users are a sample, and so is the seed: two questions. Whether a model is better *for the users*
that might have come instead, a paired t-test of the per-user metrics answers, which is among the
tests that hold their level on such data (Smucker et al. 2007; Urbano et al. 2019,
arXiv:1905.11096). What *another training* would have given, only several seeds can tell.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import stats


@dataclasses.dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval, at the level asked for."""

    mean: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Difference(Interval):
    """Of two means, the second less the first.

    Attributes:
      p: how likely a difference as large, either way, is by luck alone.
    """

    p: float


def interval(values: np.ndarray, level: float = 0.95) -> Interval:
    """Student's t interval of the mean of independent values, of which there must be two or more.

    Values that are all equal give an interval of no width.
    """
    mean, count = float(values.mean()), len(values)
    half = float(stats.t.ppf((1 + level) / 2, count - 1) * values.std(ddof=1) / count**0.5)
    return Interval(mean, mean - half, mean + half)


def paired(first: np.ndarray, second: np.ndarray, level: float = 0.95) -> Difference:
    """The paired t-test (two-sided) of one metric of the same users, [users] each."""
    each = second - first
    found = interval(each, level)
    if not np.ptp(each):  # SciPy's t-test divides by the spread
        return Difference(found.mean, found.low, found.high, p=float(not each.any()))
    p = float(stats.ttest_1samp(each, 0.0).pvalue)  # type: ignore[union-attr]
    return Difference(found.mean, found.low, found.high, p)


def adjusted(p: Sequence[float]) -> list[float]:
    """The p-values of several comparisons, raised so that all may be read together (Holm, 1979).

    Calling out those of at most α, some true equality is called a difference with probability α.
    """
    found, highest = [0.0] * len(p), 0.0
    for place, index in enumerate(np.argsort(p, kind="stable")):
        highest = max(highest, min(1.0, (len(p) - place) * p[index]))
        found[index] = highest
    return found
