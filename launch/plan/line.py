"""A line of a plan: so much of something, and what that costs in a month."""

import dataclasses
import math

from podway.launch.plan.figure import Values


@dataclasses.dataclass(frozen=True)
class Line:
    """One quantity.

    Attributes:
      section: the part of the system.
      name: what it is an amount of.
      value: how much; NaN: unknown.
      unit: of the value.
      how: how it follows from the figures, by their names.
      price: the figure that is the price of one such unit; "": it is not paid for by itself. What
        has a price is the amount of a month.
    """

    section: str
    name: str
    value: float
    unit: str
    how: str
    price: str = ""

    def cost(self, values: Values) -> float:
        """Of a month: 0 for what is not paid for, NaN where amount or price are unknown.

        Nothing costs nothing, whatever its price.
        """
        if not self.price or self.value == 0:
            return 0.0
        return self.value * values[self.price]


def total(lines: tuple[Line, ...], values: Values) -> float:
    """What the lines cost in a month, without those of which that is unknown."""
    costs = (line.cost(values) for line in lines)
    return math.fsum(cost for cost in costs if not math.isnan(cost))
