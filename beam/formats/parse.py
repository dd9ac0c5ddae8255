"""Rows → events: values are checked and brought to one form, whatever the file's format.

User and item are text. Whole numbers are read as their digits, so that 31 in Parquet or JSON is
the "31" of a CSV, be they integers or decimals; a float is accepted where it is a whole number up
to 2**53 (31.0 is "31": that is what a column of integers becomes where some are missing), and
rejected elsewhere. UUIDs are the text that they have in other files. Empty text, null and NaN are
missing values. Text with a null byte is rejected: much of what reads a dataset takes it for the end
of the text. Time is int64, in microseconds since 1970 (UTC).
"""

import decimal
from collections.abc import Mapping

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.types as pt

from podway.beam.error import DataError
from podway.beam.formats.checks import (
    Checks,
    Notice,
    decode,
    drop_passed,
    is_bytes,
    is_text,
    to_mask,
)
from podway.beam.formats.rows import EVENT_ID, RawBatch, Rejected, field_of
from podway.beam.formats.times import END_OF_TIME, SECONDS, Clock, microseconds

_EXACT = 2.0**53

Columns = tuple[dict[str, pa.Array], Checks]
_NONE: Columns = ({}, [])


def parse(
    rows: RawBatch,
    file: str,
    position: int | None,
    latest: int = END_OF_TIME,
    features: Columns = _NONE,
    clock: Clock = SECONDS,
) -> tuple[pa.Table, list[Rejected], Mapping[str, int]]:
    """Events, what is rejected of the rows, and what is to be said of the others.

    Args:
      rows: as read.
      file: name of the raw file, for errors.
      position: where there is no time column, the time of row r is `position` + r; None: that of
        each row is 0.
      latest: microseconds since 1970; later events are rejected as being in the future.
      features: canonical values by the features' names, and the checks that some of them fail.
      clock: what times are written in.

    Returns:
      Table (user and item, where there are such: strings; time int64; canonical values of the
      features by their names; EVENT_ID, where events have ids: strings),
      the rejected rows in the file's order, and of how many kept rows each notice is.

    Raises:
      DataError: a column is of a type that cannot hold the values of its role.
    """
    events, checks = dict[str, pa.Array](), Checks()
    for role in ("user", "item"):
        if role in rows.columns:
            events[role], found = text(rows.columns[role], role, file)
            checks += found
    if "time" in rows.columns:
        time, found = microseconds(rows.columns["time"], file, clock)
        checks += [*found, ("time is in the future", time > latest)]
    elif position is not None:
        time = position + rows.numbers
    else:
        time = np.zeros(len(rows.numbers), np.int64)
    values, failed = features
    events |= {"time": pa.array(time, pa.int64()), **values}
    if EVENT_ID in rows.columns:
        events[EVENT_ID], found = text(rows.columns[EVENT_ID], EVENT_ID, file)
        checks += found
    return accept(rows, events, [*checks, *failed])


def accept(
    rows: RawBatch, columns: dict[str, pa.Array], checks: Checks
) -> tuple[pa.Table, list[Rejected], Mapping[str, int]]:
    """The rows that fail no check, the others with the first one that they fail, and notices."""
    rejected, good = list(rows.rejected), np.ones(len(rows.numbers), bool)
    for reason, mask in checks:
        if isinstance(reason, Notice):
            continue
        for index in np.flatnonzero(mask & good):
            rejected.append(Rejected(int(rows.numbers[index]), reason, rows.raw(int(index))))
        good &= ~mask
    table = pa.table(columns)
    if not good.all():
        table = table.filter(pa.array(good))
    said = {
        str(reason): count
        for reason, mask in checks
        if isinstance(reason, Notice) and (count := int((mask & good).sum()))
    }
    return table, sorted(rejected, key=lambda row: row.row), {**rows.notices, **said}


def text(values: pa.Array, role: str, file: str) -> tuple[pa.Array, Checks]:
    """Values as text, and the checks that some of them fail; dictionaries remain such."""
    if isinstance(values, pa.DictionaryArray):
        return _text_of_dictionary(values, role, file)
    checks: Checks = []
    if is_bytes(values.type):
        values, bad = decode(values)
        checks.append(("invalid UTF-8", bad))
    elif pt.is_floating(values.type):
        numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
        missing = np.isnan(numbers)
        with np.errstate(invalid="ignore"):
            whole = (np.floor(numbers) == numbers) & (np.abs(numbers) <= _EXACT)
        checks.append((f"{role} is not a whole number", ~whole & ~missing))
        digits = np.where(whole, numbers, 0).astype(np.int64)
        values = pa.array(digits, mask=missing).cast(pa.string())
    elif pt.is_decimal(values.type):
        values, bad = _whole_decimals(values)
        checks.append((f"{role} is not a whole number", bad))
    elif not (is_text(values.type) or pt.is_integer(values.type) or pt.is_null(values.type)):
        raise DataError(
            f"{file}: the column of {field_of(role)} holds {values.type}; give one that holds text"
            " or whole numbers"
        )
    values = values.cast(pa.string())
    checks.append((f"null byte in {role}", _with_null_byte(values)))
    missing = (pl.Series(values).str.len_bytes().fill_null(0) == 0).to_numpy()
    checks.append((f"missing {role}", missing))
    return values, drop_passed(checks)


def _whole_decimals(values: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Digits, and which numbers have a fraction."""
    encoded = values.dictionary_encode()
    found: list[decimal.Decimal] = encoded.dictionary.to_pylist()
    whole = [value == value.to_integral_value() for value in found]
    digits = [format(value.to_integral_value(), "f") for value in found]
    row = encoded.indices.fill_null(len(found)).to_numpy()
    text = pa.array(digits, pa.string()).take(encoded.indices)
    return text, ~np.array([*whole, True], bool)[row]


def _text_of_dictionary(
    values: pa.DictionaryArray, role: str, file: str
) -> tuple[pa.Array, Checks]:
    """Likewise, by looking at each distinct value once."""
    distinct, found = text(values.dictionary, role, file)
    null = to_mask(values.indices.is_null())
    index = values.indices.fill_null(len(distinct)).to_numpy()
    checks = dict([(f"missing {role}", np.zeros(len(distinct), bool)), *found])
    checks = {reason: np.append(mask, False)[index] for reason, mask in checks.items()}
    checks[f"missing {role}"] |= null
    return pa.DictionaryArray.from_arrays(values.indices, distinct), drop_passed(
        list(checks.items())
    )


def _with_null_byte(values: pa.Array) -> np.ndarray:
    content = values.buffers()[2]
    if content is None or np.frombuffer(content, np.uint8).min(initial=1):  # a quick look at all
        return np.zeros(len(values), bool)
    return pl.Series(values).str.contains("\0", literal=True).fill_null(False).to_numpy()
