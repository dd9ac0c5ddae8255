"""A saturating power law through points, and how sure it is. NumPy.

y = limit − sign · gap · x^(−rate), with gap, rate > 0: what more of x brings shrinks by a constant
factor for each doubling (Hestness et al. 2017, arXiv:1712.00409; Kaplan et al. 2020,
arXiv:2001.08361; Hoffmann et al. 2022, arXiv:2203.15556). For each rate of a fine grid, limit and
gap follow by least squares; the rate with the least error is taken. Intervals come from residuals
that are drawn anew (Efron 1979).
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

RATES = np.geomspace(0.02, 4.0, 160)
LEAST = 4
"""Different places that three unknowns and a look at the error take."""
_DRAWS = 400


@dataclasses.dataclass(frozen=True)
class Law:
    """A law.

    Attributes:
      sign: 1 where y grows with x, −1 where it falls.
      limit: what y comes to.
      gap: how far from it y is at `unit`.
      rate: of the power.
      unit: where x is 1: the largest x that was measured.
    """

    sign: float
    limit: float
    gap: float
    rate: float
    unit: float

    def at(self, x: np.ndarray) -> np.ndarray:
        """y at x."""
        return self.limit - self.sign * self.gap * (np.asarray(x, float) / self.unit) ** -self.rate


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A law with others that the points allow.

    Attributes:
      law: the best one.
      others: through points whose residuals were drawn anew.
    """

    law: Law
    others: Sequence[Law]

    def interval(self, x: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Between which y lies at x, by the laws that the points allow."""
        drawn = np.array([each.at(x) for each in self.others])
        half = 100 * (1 - level) / 2
        return np.percentile(drawn, half, axis=0), np.percentile(drawn, 100 - half, axis=0)


def fit(x: np.ndarray, y: np.ndarray, *, grows: bool, seed: int = 0) -> Fitted | None:
    """The law through points, several at one x being seeds; None where there are too few.

    Args:
      x: positive.
      y: finite.
      grows: whether y is better the larger it is.
      seed: of the draws.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    if len(np.unique(x)) < LEAST:
        return None
    sign, unit = 1.0 if grows else -1.0, float(x.max())
    law = _best(x / unit, y, sign, unit)
    residuals = y - law.at(x)
    # What is fitted lies nearer to the points than the truth does.
    residuals = residuals * (len(x) / max(len(x) - 3, 1)) ** 0.5
    generator = np.random.default_rng(seed)
    others = [
        _best(x / unit, law.at(x) + generator.choice(residuals, len(x)), sign, unit)
        for _ in range(_DRAWS)
    ]
    return Fitted(law, others)


def _best(x: np.ndarray, y: np.ndarray, sign: float, unit: float) -> Law:
    """For all rates at once: y against z = x^(−rate), a line whose slope is −sign · gap."""
    z = x[None] ** -RATES[:, None]
    centred, own = z - z.mean(1, keepdims=True), y - y.mean()
    spread = (centred**2).sum(1)
    slope = np.where(spread > 0, centred @ own / np.where(spread > 0, spread, 1), 0.0)
    gap = np.maximum(-sign * slope, 0.0)
    limit = y.mean() + sign * gap * z.mean(1)
    error = ((y[None] - (limit[:, None] - sign * gap[:, None] * z)) ** 2).sum(1)
    best = int(error.argmin())
    return Law(sign, float(limit[best]), float(gap[best]), float(RATES[best]), unit)
