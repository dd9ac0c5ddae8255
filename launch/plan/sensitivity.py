"""Which figure moves the total most: one at a time, the others as they are."""

import dataclasses
import math

from podway.launch.plan.figure import Basis, Figure, Values
from podway.launch.plan.line import total
from podway.launch.plan.plan import Plan, compute

FACTORS: dict[Basis, tuple[float, float]] = {
    "given": (0.75, 1.25),
    "config": (0.75, 1.25),
    "compiled": (0.75, 1.25),
    "measured": (0.75, 1.25),
    "vendor": (0.75, 1.25),
    "rule": (0.5, 2.0),
}
"""By what a figure may be wrong: a rule of thumb by a factor of two, others by a quarter."""


@dataclasses.dataclass(frozen=True)
class Effect:
    """What another value of a figure does to the total.

    Attributes:
      figure: which.
      low: its value below.
      high: its value above.
      total_low: the month's total at `low`.
      total_high: at `high`.
    """

    figure: Figure
    low: float
    high: float
    total_low: float
    total_high: float

    @property
    def swing(self) -> float:
        """Between the two totals."""
        return abs(self.total_high - self.total_low)


def effects(plan: Plan) -> tuple[Effect, ...]:
    """Of every figure that can vary, the largest first; what changes nothing is left out."""
    values = plan.values
    found = []
    for figure in plan.figures:
        if not figure.varied or not figure.known or figure.value == 0:
            continue
        below, above = FACTORS[figure.basis]
        low = min(max(figure.value * below, figure.low), figure.high)
        high = min(max(figure.value * above, figure.low), figure.high)
        found.append(
            Effect(
                figure,
                low,
                high,
                _total(values, figure.name, low),
                _total(values, figure.name, high),
            )
        )
    found = [each for each in found if each.swing > 1e-9 * max(plan.total, 1.0)]
    return tuple(sorted(found, key=lambda each: (-each.swing, each.figure.name)))


def _total(values: Values, name: str, value: float) -> float:
    changed = {**values, name: value}
    found = total(compute(changed), changed)
    return 0.0 if math.isnan(found) else found
