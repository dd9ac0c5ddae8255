"""Rows → events: values are checked and brought to one form, whatever the file's format.

User and item are text. Whole numbers are read as their digits, so that 31 in Parquet or JSON is
the "31" of a CSV; a float is accepted where it is a whole number up to 2**53 (31.0 is "31": that is
what a column of integers becomes where some are missing), and rejected elsewhere. Empty text, null
and NaN are missing values. Text with a null byte is rejected: much of what reads a dataset takes
it for the end of the text. Time is int64, in microseconds since 1970 (UTC).
"""

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from podway.beam.error import DataError
from podway.beam.formats.rows import RawBatch, Rejected

EARLIEST, LATEST = -62_135_596_800, 253_402_300_799
"""Seconds since 1970 of the first and the last second of the years 1 to 9999."""

_MICRO = 1_000_000
END_OF_TIME = LATEST * _MICRO
"""Microseconds since 1970 that no event is later than."""
_EXACT = 2.0**53

Checks = list[tuple[str, np.ndarray]]
"""(reason, mask of the rows that it rejects)."""

Columns = tuple[dict[str, pa.Array], Checks]
_NONE: Columns = ({}, [])


def parse(
    rows: RawBatch,
    file: str,
    position: int,
    latest: int = END_OF_TIME,
    features: Columns = _NONE,
) -> tuple[pa.Table, list[Rejected]]:
    """Events, and what is rejected of the rows.

    Args:
      rows: as read.
      file: name of the raw file, for errors.
      position: where there is no time column, the time of row r is `position` + r.
      latest: microseconds since 1970; later events are rejected as being in the future.
      features: canonical values by the features' names, and the checks that some of them fail.

    Returns:
      Table (user and item: strings, time int64, canonical values of the features by their names),
      and the rejected rows in the file's order.

    Raises:
      DataError: a column is of a type that cannot hold the values of its role.
    """
    user, user_checks = text(rows.columns["user"], "user", file)
    item, item_checks = text(rows.columns["item"], "item", file)
    if "time" in rows.columns:
        time, time_checks = microseconds(rows.columns["time"], file)
        time_checks.append(("time is in the future", time > latest))
    else:
        time, time_checks = position + rows.numbers, []
    values, checks = features
    events = {"user": user, "item": item, "time": pa.array(time, pa.int64()), **values}
    return accept(rows, events, [*user_checks, *item_checks, *time_checks, *checks])


def accept(
    rows: RawBatch, columns: dict[str, pa.Array], checks: Checks
) -> tuple[pa.Table, list[Rejected]]:
    """The rows that fail no check, and the others with the first one that they fail."""
    rejected, good = list(rows.rejected), np.ones(len(rows.numbers), bool)
    for reason, mask in checks:
        for index in np.flatnonzero(mask & good):
            rejected.append(Rejected(int(rows.numbers[index]), reason, rows.raw(int(index))))
        good &= ~mask
    table = pa.table(columns)
    if not good.all():
        table = table.filter(pa.array(good))
    return table, sorted(rejected, key=lambda row: row.row)


def text(values: pa.Array, role: str, file: str) -> tuple[pa.Array, Checks]:
    """Values as text, and the checks that some of them fail; dictionaries remain such."""
    if isinstance(values, pa.DictionaryArray):
        return _text_of_dictionary(values, role, file)
    checks: Checks = []
    if pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type):
        values, bad = _decode(values)
        checks.append(("invalid UTF-8", bad))
    elif pa.types.is_floating(values.type):
        numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
        missing = np.isnan(numbers)
        with np.errstate(invalid="ignore"):
            whole = (np.floor(numbers) == numbers) & (np.abs(numbers) <= _EXACT)
        checks.append((f"{role} is not a whole number", ~whole & ~missing))
        digits = np.where(whole, numbers, 0).astype(np.int64)
        values = pa.array(digits, mask=missing).cast(pa.string())
    elif pa.types.is_integer(values.type):
        values = values.cast(pa.string())
    elif not _is_text(values.type):
        raise DataError(
            f"{file}: the column of data.columns.{role} holds {values.type}; give one that holds"
            " text or whole numbers"
        )
    values = values.cast(pa.string())
    checks.append((f"null byte in {role}", _with_null_byte(values)))
    missing = (pl.Series(values).str.len_bytes().fill_null(0) == 0).to_numpy()
    checks.append((f"missing {role}", missing))
    return values, _drop_passed(checks)


def _text_of_dictionary(
    values: pa.DictionaryArray, role: str, file: str
) -> tuple[pa.Array, Checks]:
    """Likewise, by looking at each distinct value once."""
    distinct, found = text(values.dictionary, role, file)
    null = _to_mask(values.indices.is_null())
    index = values.indices.fill_null(len(distinct)).to_numpy()
    checks = dict([(f"missing {role}", np.zeros(len(distinct), bool)), *found])
    checks = {reason: np.append(mask, False)[index] for reason, mask in checks.items()}
    checks[f"missing {role}"] |= null
    return pa.DictionaryArray.from_arrays(values.indices, distinct), _drop_passed(
        list(checks.items())
    )


def microseconds(values: pa.Array, file: str) -> tuple[np.ndarray, Checks]:
    """Values as int64 microseconds since 1970, and the checks that some of them fail."""
    if isinstance(values, pa.DictionaryArray):
        values = values.dictionary_decode()
    if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
        missing = _to_mask(values.is_null())
        stamps = pc.cast(
            values, options=pc.CastOptions(pa.timestamp("us"), allow_time_truncate=True)
        )
        return stamps.cast(pa.int64()).fill_null(0).to_numpy(), _drop_passed(
            [("missing time", missing)]
        )
    checks: Checks = []
    if pa.types.is_binary(values.type):
        values, bad = _decode(values)
        checks.append(("invalid UTF-8", bad))
    if _is_text(values.type):
        seconds, missing = _numbers(values)
    elif pa.types.is_integer(values.type):
        missing = _to_mask(values.is_null())
        seconds = values.fill_null(0).to_numpy()
    elif pa.types.is_floating(values.type):
        seconds = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
        missing = np.isnan(seconds)
    else:
        raise DataError(
            f"{file}: the column of data.columns.time holds {values.type}; give one that holds"
            " seconds since 1970"
        )
    checks.append(("missing time", missing))
    if seconds.dtype.kind == "f":
        checks.append(("time is not a number", ~np.isfinite(seconds) & ~missing))
        seconds = np.where(np.isfinite(seconds), seconds, 0)
    outside = (seconds < EARLIEST) | (seconds > LATEST)
    checks.append(("time is not in the years 1 to 9999, in seconds", outside))
    seconds = np.where(outside, 0, seconds)
    if seconds.dtype.kind == "f":
        # Exact for whole seconds, whatever stands beside them: 10**6 is a multiple of 64, so up
        # to 2**59 the product needs no more than float64's 53 bits.
        return np.rint(seconds * _MICRO).astype(np.int64), _drop_passed(checks)
    return seconds.astype(np.int64) * _MICRO, _drop_passed(checks)


def _numbers(values: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Text as numbers: int64 where all are whole, else float64 with NaN for no number."""
    series = pl.Series(values)
    whole = series.cast(pl.Int64, strict=False)
    if not whole.has_nulls():
        return whole.to_numpy(), np.zeros(len(whole), bool)
    stripped = series.str.strip_chars().fill_null("")
    return (
        stripped.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy(),
        (stripped == "").to_numpy(),
    )


def _decode(values: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Bytes as text, and which of them are no UTF-8."""
    try:
        return values.cast(pa.string()), np.zeros(len(values), bool)
    except pa.ArrowInvalid:
        raw = [b"" if value is None else value for value in values.to_pylist()]
        decoded = [value.decode("utf-8", "replace") for value in raw]
        bad = [text.encode() != value for text, value in zip(decoded, raw, strict=True)]
        return pa.array(decoded, pa.string()), np.array(bad, bool)


def _with_null_byte(values: pa.Array) -> np.ndarray:
    content = values.buffers()[2]
    if content is None or np.frombuffer(content, np.uint8).min(initial=1):  # a quick look at all
        return np.zeros(len(values), bool)
    return pl.Series(values).str.contains("\0", literal=True).fill_null(False).to_numpy()


def _is_text(type: pa.DataType) -> bool:
    return (
        pa.types.is_string(type)
        or pa.types.is_large_string(type)
        or (pa.types.is_string_view(type))
    )


def _to_mask(array: pa.Array) -> np.ndarray:
    return array.to_numpy(zero_copy_only=False)


def _drop_passed(checks: Checks) -> Checks:
    return [(reason, mask) for reason, mask in checks if mask.any()]
