"""Numbers and times as people read them."""

import datetime
import math
from collections.abc import Callable, Sequence
from typing import Any

DAY = 86_400_000_000
"""Microseconds."""

Format = Callable[[float], str]

_LARGE, _SMALL = 1e7, 1e-4
"""Numbers from the one on, and steps below the other, make an axis show powers of ten."""
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def number(value: Any) -> str:
    """A number with four significant digits; nothing for None."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return str(value)
    if value and not 1e-3 <= abs(value) < 1e7:
        return _short(f"{value:.3g}")
    if float(value).is_integer() or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def ticks(values: Sequence[float], step: float) -> list[str]:
    """Numbers along an axis that are `step` apart: all with as many digits as that takes."""
    largest = max(map(abs, values), default=0.0)
    if largest >= _LARGE or step < _SMALL:
        return [_power(value, step) for value in values]
    digits = _digits(step)
    return [f"{value:,.{digits}f}" if value else "0" for value in values]


def percents(values: Sequence[float], step: float) -> list[str]:
    """Likewise shares, as percents."""
    digits = _digits(100 * step)
    return [f"{value:.{digits}%}" for value in values]


def time(value: Any) -> str:
    """Microseconds since 1970 as a day and a time of day (UTC); nothing for None."""
    return "" if value is None else f"{_moment(value):%Y-%m-%d %H:%M}"


def day(value: Any) -> str:
    """Microseconds since 1970 as a day (UTC); nothing for None."""
    return "" if value is None else f"{_moment(value):%Y-%m-%d}"


def clock(span: float) -> Format:
    """How times that span so many microseconds are shown."""
    return day if span > 30 * DAY else time


def span(seconds: float) -> str:
    """How long something took: "48 s", "2 min 05 s", "3 h 20 min", "4 days 06 h"."""
    if not math.isfinite(seconds):
        return str(seconds)
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes:02} min"
    days, hours = divmod(hours, 24)
    return f"{days} day{'s' * (days != 1)} {hours:02} h"


def size(count: float) -> str:
    """Bytes, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _moment(value: float) -> datetime.datetime:
    return _EPOCH + datetime.timedelta(microseconds=round(value))


def _digits(step: float) -> int:
    return max(0, -math.floor(math.log10(step) + 1e-9))


def _power(value: float, step: float) -> str:
    if abs(value) < step / 2:
        return "0"
    digits = math.floor(math.log10(abs(value)) + 1e-9) - math.floor(math.log10(step) + 1e-9)
    mantissa, power = f"{value:.{max(0, digits)}e}".split("e")
    return _short(f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{power}")


def _short(text: str) -> str:
    """1e-05 as 1e-5."""
    return text.replace("e+00", "").replace("e+0", "e").replace("e+", "e").replace("e-0", "e-")
