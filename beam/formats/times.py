"""Times, however they are written → int64 microseconds since 1970 (UTC).

A column is written in one unit: declared (data.columns.time_unit), or recognised in the first rows
(recognise.py). Where it was recognised, a value that looks like another unit is rejected; where it
was declared, it is taken at its word. Typed timestamps and dates say themselves what they are. What
is finer than a microsecond is dropped, a time without a zone is UTC: notices count both.
"""

import dataclasses

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.types as pt

from podway.beam.error import DataError
from podway.beam.formats import iso
from podway.beam.formats.checks import (
    Checks,
    Notice,
    decode,
    drop_passed,
    is_bytes,
    is_text,
    to_mask,
)

EARLIEST, LATEST = -62_135_596_800, 253_402_300_799
"""Seconds since 1970 of the first and the last second of the years 1 to 9999."""

MICRO = 1_000_000
END_OF_TIME = LATEST * MICRO
"""Microseconds since 1970 that no event is later than."""

PER_SECOND = {"s": 1, "ms": 1000, "us": MICRO, "ns": 1000 * MICRO}
NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
"""What the units of numbers are called."""
TYPED = "typed"
"""The unit of a column whose type says it."""

_LARGEST = (1e11, 1e14, 1e17)
"""Up to which a number looks like s, ms and us: in seconds the year 5138, in ms 1973."""
_FLOAT32_EXACT = 2.0**24


@dataclasses.dataclass(frozen=True)
class Clock:
    """What times are written in.

    Attributes:
      unit: one of PER_SECOND, "iso", a format with %, or TYPED.
      recognised: whether it was recognised, not declared.
    """

    unit: str = "s"
    recognised: bool = False


SECONDS = Clock()


Found = tuple[np.ndarray, Checks]


def looks_like(numbers: np.ndarray) -> np.ndarray:
    """Position in PER_SECOND of the unit that each number looks like."""
    return np.searchsorted(_LARGEST, np.abs(numbers.astype(np.float64)))


def microseconds(values: pa.Array, where: str, clock: Clock = SECONDS, role: str = "time") -> Found:
    """Values as int64 microseconds since 1970, and the checks that some of them fail.

    Args:
      values: of any type that a reader gives.
      where: the raw file, for errors.
      clock: what they are written in.
      role: "time", or a feature's name.

    Raises:
      DataError: the column's type cannot hold times.
    """
    if isinstance(values, pa.DictionaryArray):
        values = values.dictionary_decode()
    kind = values.type
    if pt.is_timestamp(kind) or pt.is_date(kind) or pt.is_null(kind):
        found, checks = _of_type(values, role)
    elif is_bytes(kind):
        text, bad = decode(values)
        found, checks = _of_text(text, clock, role)
        reason = "invalid UTF-8" if role == "time" else f"invalid UTF-8 in {role}"
        checks = [(reason, bad), *checks]
    elif is_text(kind):
        found, checks = _of_text(values.cast(pa.string()), clock, role)
    elif pt.is_integer(kind):
        found, checks = _of_integers(values, clock, role)
    elif pt.is_floating(kind) or pt.is_decimal(kind):
        found, checks = _of_fractions(values, clock, role)
    else:
        field = "data.columns.time" if role == "time" else role
        raise DataError(
            f"{where}: the column of {field} holds {kind}; give one that holds times: timestamps,"
            " dates, text, or numbers since 1970"
        )
    return found, drop_passed(checks)


def _of_type(values: pa.Array, role: str) -> Found:
    missing = to_mask(values.is_null())
    if pt.is_null(values.type):
        return np.zeros(len(values), np.int64), [(f"missing {role}", missing)]
    naive = np.zeros(len(values), bool)
    if pt.is_date32(values.type):
        count = values.view(pa.int32()).fill_null(0).to_numpy().astype(np.int64) * 86_400
        per_second = 1
    else:
        count = values.view(pa.int64()).fill_null(0).to_numpy()
        per_second = PER_SECOND["ms" if pt.is_date64(values.type) else values.type.unit]
        naive[:] = pt.is_timestamp(values.type) and values.type.tz is None
    found, outside, finer = _scaled(count, per_second)
    return found, [
        (f"missing {role}", missing),
        (f"{role} is not in the years 1 to 9999", outside),
        *_converted(role, naive & ~missing, finer),
    ]


def _of_text(values: pa.Array, clock: Clock, role: str) -> Found:
    series = pl.Series(values)
    if clock.unit in PER_SECOND:
        whole = series.cast(pl.Int64, strict=False)
        if not whole.has_nulls():
            return _of_integers(whole.to_arrow(), clock, role)
    stripped = series.str.strip_chars().fill_null("")
    missing = (stripped == "").to_numpy()
    if clock.unit in PER_SECOND:
        numbers = stripped.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
        found, checks = _of_floats(numbers, missing, clock, role)
        return found, [(f"missing {role}", missing), *checks]
    if "%" in clock.unit:
        found, wrong = _by_format(stripped, clock.unit)
        naive, finer = np.full(len(found), "%z" not in clock.unit), np.zeros(len(found), bool)
        reason = f"{role} is not written as {clock.unit}"
    else:
        moments = iso.parse(stripped)
        found, wrong, naive, finer = (
            getattr(moments, name) for name in ("found", "wrong", "naive", "finer")
        )
        reason = f"{role} is not ISO 8601"
    fine = ~(wrong | missing)
    outside = (found < EARLIEST * MICRO) | (found > END_OF_TIME + MICRO - 1)
    return found, [
        (f"missing {role}", missing),
        (reason, wrong & ~missing),
        (f"{role} is not in the years 1 to 9999", outside & fine),
        *_converted(role, naive & fine, finer & fine),
    ]


def _of_integers(values: pa.Array, clock: Clock, role: str) -> Found:
    if "%" in clock.unit or (clock.unit == "iso" and not clock.recognised):  # 20160509
        return _of_text(values.cast(pa.string()), clock, role)
    missing = to_mask(values.is_null())
    numbers = values.fill_null(0).to_numpy()
    if clock.unit not in PER_SECOND:
        return np.zeros(len(values), np.int64), [
            (f"missing {role}", missing),
            (f"{role} is a number, others are times", ~missing),
        ]
    found, outside, finer = _scaled(numbers, PER_SECOND[clock.unit])
    return found, [
        (f"missing {role}", missing),
        *_contradicting(numbers, clock, role),
        (f"{role} is not in the years 1 to 9999, in {NAMES[clock.unit]}", outside),
        *_converted(role, None, finer),
    ]


def _of_fractions(values: pa.Array, clock: Clock, role: str) -> Found:
    missing = to_mask(values.is_null())
    numbers = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    missing |= np.isnan(numbers)
    if clock.unit not in PER_SECOND:
        whole = np.where(np.abs(numbers) < 2.0**53, numbers, 0).astype(np.int64)
        return _of_integers(pa.array(whole, mask=missing), clock, role)
    found, checks = _of_floats(numbers, missing, clock, role)
    checks = [(f"missing {role}", missing), *checks]
    if pt.is_float32(values.type) or pt.is_float16(values.type):
        reason = Notice(f"{role} is float32, which is exact to 128 seconds")
        checks.append((reason, np.abs(np.nan_to_num(numbers)) > _FLOAT32_EXACT))
    return found, checks


def _of_floats(numbers: np.ndarray, missing: np.ndarray, clock: Clock, role: str) -> Found:
    wrong = ~np.isfinite(numbers)
    numbers = np.where(wrong, 0, numbers)
    per_second = PER_SECOND[clock.unit]
    outside = (numbers < EARLIEST * per_second) | (numbers > LATEST * per_second)
    # Exact for whole seconds, whatever stands beside them: 10**6 is a multiple of 64, so up to
    # 2**59 the product needs no more than float64's 53 bits.
    found = np.rint(np.where(outside, 0, numbers) * (MICRO / per_second)).astype(np.int64)
    return found, [
        (f"{role} is not a number", wrong & ~missing),
        *_contradicting(numbers, clock, role),
        (f"{role} is not in the years 1 to 9999, in {NAMES[clock.unit]}", outside),
    ]


def _scaled(count: np.ndarray, per_second: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whole numbers as microseconds; which are not in the years 1 to 9999, or lose a part."""
    lowest, highest = EARLIEST * per_second, LATEST * per_second + per_second - 1
    outside = (count < lowest) | (count > highest)
    inside = np.where(outside, 0, count).astype(np.int64)
    if per_second <= MICRO:
        return inside * (MICRO // per_second), outside, np.zeros(len(count), bool)
    by = per_second // MICRO
    return inside // by, outside, inside % by != 0


def _contradicting(numbers: np.ndarray, clock: Clock, role: str) -> Checks:
    """Which look like another unit than the recognised one; 0 looks like every one."""
    if not clock.recognised or not len(numbers):
        return []
    units = list(PER_SECOND)
    own = units.index(clock.unit)
    if own == 0 and max(abs(int(numbers.min())), abs(int(numbers.max()))) < _LARGEST[0]:
        return []  # a quick look
    unit = np.where(numbers == 0, own, looks_like(numbers))
    return [
        (f"{role} looks like {NAMES[other]}, not {NAMES[clock.unit]}", unit == at)
        for at, other in enumerate(units)
        if at != own
    ]


def _converted(role: str, naive: np.ndarray | None, finer: np.ndarray) -> Checks:
    checks: Checks = [(Notice(f"{role} finer than a microsecond: cut off"), finer)]
    if naive is not None:
        checks.insert(0, (Notice(f"{role} without a time zone: read as UTC"), naive))
    return checks


def _by_format(stripped: pl.Series, format: str) -> tuple[np.ndarray, np.ndarray]:
    """Microseconds, and which values are not written so."""
    # Polars counts what %f matches as nanoseconds; in Python it is a fraction.
    format = format.replace(".%f", "%.f").replace("%f", "%6f")
    found = stripped.str.to_datetime(format, time_unit="us", strict=False)
    return found.cast(pl.Int64).fill_null(0).to_numpy(), found.is_null().to_numpy()
