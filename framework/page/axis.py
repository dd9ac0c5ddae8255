"""An axis of a chart: which numbers it spans, where each lies on it, and its ticks."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from podway.framework.page import text

Labels = Callable[[Sequence[float], float], list[str]]
"""Numbers of an axis and the step between them → what the ticks say."""

_LARGEST, _SMALLEST = 1e200, 1e-200
"""What is beyond has no place: no real metric is, and spans of it overflow."""
_FEW, _APART = 6, 0.12
"""Different numbers that have a tick each, where these are so far apart."""


@dataclasses.dataclass(frozen=True)
class Axis:
    """An axis.

    Attributes:
      start: its first number; of a logarithmic one the power of ten.
      end: likewise its last one, never the same.
      log: whether it is logarithmic.
      ticks: (place from 0 to 1, text).
    """

    start: float
    end: float
    log: bool = False
    ticks: tuple[tuple[float, str], ...] = ()

    def place(self, value: float) -> float:
        """Where a number lies, 0 at the start and 1 at the end; NaN for what has no place."""
        value = real(value, self.log)
        return ((math.log10(value) if self.log else value) - self.start) / (self.end - self.start)


def real(value: Any, log: bool = False) -> float:
    """A value as a number that has a place on an axis; NaN for everything else."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return found if (_SMALLEST if log else -_LARGEST) <= found <= _LARGEST else math.nan


def fitted(
    values: Iterable[Any],
    *,
    log: bool = False,
    count: int = 4,
    pad: float = 0.0,
    each: bool = False,
    show: Labels = text.ticks,
) -> Axis:
    """An axis that shows all values that have a place on it.

    Args:
      values: numbers; others are left out. Without any, the axis is empty.
      log: logarithmic, without what is not positive.
      count: of steps between ticks, about.
      pad: room left beyond both ends, as a share of all; zero is not passed.
      each: whether a few different numbers have a tick each, instead of round ones.
      show: what linear ticks say.
    """
    shown = sorted({found for value in values if not math.isnan(found := real(value, log))})
    if not shown:
        return Axis(0.0, 1.0, log)
    low, high = shown[0], shown[-1]
    if high - low <= 1e-12 * max(abs(low), abs(high)) or high - low < _SMALLEST:
        middle = math.log10(low) if log else low
        reach = 0.3 if log else abs(low) / 2 if abs(low) > _SMALLEST else 1.0
        return Axis(middle - reach, middle + reach, log, ((0.5, text.number(low)),))
    start, end = (math.log10(low), math.log10(high)) if log else (low, high)
    margin = pad * (end - start)
    start = 0.0 if not log and 0 <= start < margin else start - margin
    end = 0.0 if not log and -margin < end <= 0 else end + margin
    bare = Axis(start, end, log)
    places = [bare.place(value) for value in shown[: _FEW + 1]]
    if each and len(shown) <= _FEW and min(b - a for a, b in itertools.pairwise(places)) >= _APART:
        told = zip(places, map(text.number, shown), strict=True)
    elif log:
        values = _round_powers(start, end)
        told = ((bare.place(value), text.number(value)) for value in values)
    else:
        values, step = nice(start, end, count, whole=all(value.is_integer() for value in shown))
        told = zip(map(bare.place, values), show(values, step), strict=True)
    return dataclasses.replace(bare, ticks=tuple(tick for tick in told if not math.isnan(tick[0])))


def nice(
    low: float, high: float, count: int = 4, *, whole: bool = False
) -> tuple[list[float], float]:
    """Round numbers from `low` to `high`, about `count` steps apart, and that step.

    The step is 1, 2 or 5 times a power of ten; of whole numbers at least 1.
    """
    least = (high - low) / count
    power = 10.0 ** math.floor(math.log10(least))
    step = min((factor * power for factor in (1, 2, 5, 10)), key=lambda one: _ratio(one, least))
    step = max(step, 1.0) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [step * at for at in range(first, last + 1)], step


def _ratio(one: float, other: float) -> float:
    return max(one / other, other / one)


def _round_powers(start: float, end: float) -> list[float]:
    """Round numbers between two powers of ten: powers, or 1, 2 and 5 times them, or what is."""
    powers = range(math.ceil(start - 1e-9), math.floor(end + 1e-9) + 1)
    if len(powers) > 2:
        return [10.0**power for power in powers[:: math.ceil(len(powers) / 6)]]
    near = range(math.floor(start), math.ceil(end) + 1)
    values = [factor * 10.0**power for power in near for factor in (1, 2, 5)]
    values = [value for value in values if start - 1e-9 <= math.log10(value) <= end + 1e-9]
    return values if len(values) > 2 else nice(10.0**start, 10.0**end, 4)[0]
