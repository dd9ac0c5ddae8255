"""A figure that a plan is made of, and where it comes from."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Literal

Basis = Literal["given", "config", "compiled", "measured", "vendor", "rule"]
SAID: Mapping[Basis, str] = {
    "given": "given",
    "config": "the config",
    "compiled": "compiled",
    "measured": "measured",
    "vendor": "vendor",
    "rule": "rule of thumb",
}
"""What each basis is called."""

UNKNOWN = math.nan
"""The value of what nobody knows. Whatever is computed of it is unknown as well."""

GIB, MIB = float(1 << 30), float(1 << 20)
DAY, HOUR = 86_400.0, 3600.0
MONTH_HOURS = 730.0
MONTH = MONTH_HOURS * HOUR
"""Seconds of a month, of which a year has twelve."""

Values = Mapping[str, float]
"""Name of a figure → its value, in its unit."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
      name: as `--assume NAME=VALUE` sets it.
      value: in `unit`; UNKNOWN where there is none.
      unit: of the value.
      basis: what kind of source it has.
      source: where exactly it comes from.
      meaning: what it is.
      low: the least value that it can have.
      high: the greatest.
      varied: whether the sensitivity varies it; counts like zones it does not.
    """

    name: str
    value: float
    unit: str
    basis: Basis
    source: str
    meaning: str
    low: float = 0.0
    high: float = math.inf
    varied: bool = True

    @property
    def known(self) -> bool:
        """Whether it has a value."""
        return not math.isnan(self.value)


def whole(value: float) -> float:
    """The next whole number, as nobody rents half a machine; unknown of what is unknown.

    What exceeds a whole number by rounding alone is that number.
    """
    if not math.isfinite(value):
        return value
    return float(math.ceil(value - 1e-9 * max(abs(value), 1.0)))


def largest(*values: float) -> float:
    """The largest; unknown if any is."""
    return math.nan if any(map(math.isnan, values)) else max(values)


def values_of(figures: tuple[Figure, ...]) -> dict[str, float]:
    """The figures' values, by name."""
    return {figure.name: figure.value for figure in figures}
