"""How sure it is that one quantity is above another, over the same users. NumPy and SciPy."""

import dataclasses

import numpy as np

from podway.framework.comparison import significance


@dataclasses.dataclass(frozen=True)
class Evidence:
    """That the mean of some values is above 0.

    Attributes:
      mean: of the values.
      low: where its interval begins: the mean is above, but for the error rate.
      high: where it ends, likewise.
      p: how likely values as far above 0 would be, were their mean 0 or less.
    """

    mean: float
    low: float
    high: float
    p: float


def above_zero(
    values: np.ndarray, error_rate: float, least: float | None = None
) -> Evidence | None:
    """Whether the mean of independent values is above 0: the one-sided t-test.

    Args:
      values: of each user; two or more.
      error_rate: of one side of the interval.
      least: the smallest that a value can be. Where all are alike there is no spread to test by,
        but of values that cannot be below `least` it can be said how many must be otherwise for
        their mean to be 0, and how seldom nobody of those is among so many users.

    Returns None where a value is not a finite number.
    """
    if not np.isfinite(values).all():
        return None
    found = significance.paired(np.zeros_like(values), values, 1 - 2 * error_rate)
    p = found.p / 2 if found.mean > 0 else 1 - found.p / 2
    if not np.ptp(values) and found.mean > 0 and least is not None:
        others = found.mean / (found.mean - least) if least < 0 else 1.0
        p = (1 - others) ** len(values)
    return Evidence(found.mean, found.low, found.high, p)
