"""ISO 8601 in its usual forms → microseconds since 1970 (UTC).

2016-05-01, 2016-05-01T10:00:00.5Z, 2016-05-01 10:00+02:00, 20160501T100000Z: date and time with
their dashes and colons or without, divided by T or a space; any fraction of the second; the zone as
Z, UTC, GMT or an offset in hours and minutes, or none, which is UTC.
"""

import dataclasses
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute

pc: Any = pyarrow.compute  # which makes its functions when it is imported

_FORM = (
    r"^(?<year>\d{4})(?<dash>-?)(?<month>\d\d)(?<dash2>-?)(?<day>\d\d)"
    r"(?:[Tt ](?<hour>\d\d)"
    r"(?:(?<colon>:?)(?<minute>\d\d)(?:(?<colon2>:?)(?<second>\d\d)(?:[.,](?<part>\d+))?)?)?)?"
    r" ?(?<zone>[Zz]|UTC|GMT|[+-]\d\d(?::?\d\d)?)?$"
)
_ZONED = r"^.{10}.*([Zz]|[+-]\d\d(:?\d\d)?)$"
_MICRO = 1_000_000
_DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


@dataclasses.dataclass(frozen=True)
class Moments:
    """Times, and masks of them.

    Attributes:
      found: int64, microseconds since 1970 (UTC); 0 where wrong.
      wrong: what is not written so, or no date of the calendar.
      naive: what has no zone.
      finer: what has more than microseconds, which are cut off.
    """

    found: np.ndarray
    wrong: np.ndarray
    naive: np.ndarray
    finer: np.ndarray


def parse(text: pl.Series) -> Moments:
    """Times written so; without blanks around them, "" where missing."""
    return _all_alike(text) or _one_by_one(text)


def _all_alike(text: pl.Series) -> Moments | None:
    """Times that all have a zone or none, the quick way; None: some are written otherwise."""
    present = text.filter(text != "")
    if not len(present):
        return None
    zoned = bool(present.head(1).str.contains(_ZONED)[0])
    values = text.set(text == "", None).to_arrow().cast(pa.string())
    try:
        found = pc.cast(values, pa.timestamp("us", "UTC" if zoned else None))
    except pa.ArrowInvalid:
        return None
    none = np.zeros(len(text), bool)
    wrong = found.is_null().to_numpy(zero_copy_only=False)
    micro = found.view(pa.int64()).fill_null(0).to_numpy()
    return Moments(micro, wrong, none if zoned else ~wrong, none)


def _one_by_one(text: pl.Series) -> Moments:
    parts = text.str.extract_groups(_FORM).struct.unnest()
    wrong = parts["year"].is_null().to_numpy()

    def number(name: str, other: int) -> np.ndarray:
        return parts[name].cast(pl.Int64).fill_null(other).to_numpy()

    year, month, day = (number(name, 1) for name in ("year", "month", "day"))
    hour, minute, second = (number(name, 0) for name in ("hour", "minute", "second"))
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0)) & (month == 2)
    wrong = (
        wrong
        | (parts["dash"] != parts["dash2"]).fill_null(False).to_numpy()
        | (parts["colon"] != parts["colon2"]).fill_null(False).to_numpy()
        | ((month < 1) | (month > 12) | (day < 1))
        | (day > _DAYS[np.clip(month, 1, 12) - 1] + leap)
        | ((hour > 23) | (minute > 59) | (second > 59))
    )
    fraction = parts["part"].fill_null("")
    micro = fraction.str.slice(0, 6).str.pad_end(6, "0").cast(pl.Int64).to_numpy()
    finer = (fraction.str.slice(6).str.strip_chars("0") != "").to_numpy()
    offset, far = _offset(parts["zone"].fill_null("Z"))
    wrong |= far
    seconds = _days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset
    found = np.where(wrong, 0, seconds * _MICRO + micro)
    return Moments(found, wrong, parts["zone"].is_null().to_numpy() & ~wrong, finer & ~wrong)


def _offset(zone: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Seconds that zones are ahead of UTC, and which are no zones of the earth."""
    digits = zone.str.replace_all(r"[^\d]", "").str.pad_end(4, "0").cast(pl.Int64).to_numpy()
    ahead = (digits // 100) * 3600 + (digits % 100) * 60
    sign = np.where(zone.str.starts_with("-").to_numpy(), -1, 1)
    return sign * ahead, (digits % 100 > 59) | (digits // 100 > 23)


def _days(year: np.ndarray, month: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Days since 1970 of dates of the Gregorian calendar: years that begin in March end with the
    leap day."""
    year = year - (month <= 2)
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
