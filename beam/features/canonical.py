"""Raw columns of any type → canonical values of a feature: text, float32, or int64 microseconds.

What is no text becomes text so that a value reads alike in every file format: whole numbers, and
floats up to 2**53 that are whole, as their digits (31 and 31.0 are the "31" of a CSV); other floats
as the shortest decimal that is the same number of its type (0.1, 1e-07); decimals without trailing
zeros; truth values as "true" and "false"; dates as 2024-01-31, timestamps with the time of day as
in 2024-01-31 10:00:00.000000 (and a Z where they have a time zone). Text with a null byte is
rejected, as for users and items (beam/formats/parse.py).
"""

import decimal
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute

from podway.beam.error import DataError
from podway.beam.features import pixels
from podway.beam.formats import parse
from podway.beam.formats.checks import Checks, is_bytes, is_text
from podway.beam.formats.times import SECONDS, Clock, microseconds
from podway.framework.config.features import (
    LARGEST,
    SMALLEST,
    Categorical,
    Hashed,
    Label,
    Pixels,
    Transform,
    kind,
)

pc: Any = pyarrow.compute  # which makes its functions when it is imported

_EXACT = 2.0**53
TRUTH = {"true": "1", "True": "1", "TRUE": "1", "false": "0", "False": "0", "FALSE": "0"}
"""What truth values are called in files without types; as numbers they are 1 and 0 everywhere."""


def canonical(
    values: pa.Array, transform: Transform, where: str, clock: Clock = SECONDS
) -> tuple[pa.Array, Checks]:
    """A raw column as canonical values, and the checks that some rows fail.

    Args:
      values: of any type that a reader gives.
      transform: of the feature.
      where: the raw file, for errors.
      clock: what times are written in.

    Returns:
      pa.string(), pa.float32() or pa.int64() by the transform's kind; null where missing. A list
      is its parts, joined by the transform's separator; pixels are text (pixels.py).
      Failing rows hold anything.

    Raises:
      DataError: the column's type cannot hold such values.
    """
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    of_kind = kind(transform)
    if pa.types.is_null(values.type):
        values = values.cast(
            {
                "text": pa.string(),
                "pixels": pa.binary(),
                "number": pa.float32(),
                "time": pa.int64(),
            }[of_kind]
        )
    if isinstance(transform, Pixels):
        return pixels.canonical(values, transform, where)
    if of_kind == "time":
        return time(values, transform.name, where, clock)
    if of_kind == "number":
        return _number(values, transform, where)
    if _is_list(values.type):
        if isinstance(transform, Categorical | Hashed) and transform.many:
            return _list(values, transform, where)
        raise DataError(
            f"{where}: the column of {transform.name} holds lists; set many=True of a Categorical"
            " or Hashed feature"
        )
    return text(values, transform.name, where)


def kept_text(values: pa.Array, name: str, where: str) -> tuple[pa.Array, Checks]:
    """A raw column as text that is shown, and the checks that some rows fail; null where missing.

    Args:
      values: of any type that a reader gives; the parts of lists are joined by "|".
      name: of the column.
      where: the raw file, for errors.

    Raises DataError: the column's type is no text.
    """
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_null(values.type):
        values = values.cast(pa.string())
    if not _is_list(values.type):
        return text(values, name, where)
    if pa.types.is_fixed_size_list(values.type):
        values = values.cast(pa.list_(values.type.value_type))
    lengths = pc.list_value_length(values).fill_null(0).to_numpy()
    parts, failed = text(values.flatten(), name, where)
    rows = np.repeat(np.arange(len(values)), lengths)
    checks = [(reason, np.isin(np.arange(len(values)), rows[mask])) for reason, mask in failed]
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int64)
    lists = pa.LargeListArray.from_arrays(offsets, parts.fill_null(""))
    joined = pc.binary_join(lists, "|").cast(pa.string())
    return pc.if_else(pa.array(lengths == 0), pa.scalar(None, pa.string()), joined), checks


def to_float32(numbers: Any) -> np.ndarray:
    """float32 as features.py has it: finite, none subnormal, no −0.0; NaN stays."""
    with np.errstate(over="ignore"):
        rounded = np.asarray(numbers).astype(np.float32)
    rounded = np.clip(rounded, np.float32(-LARGEST), np.float32(LARGEST))
    return np.where(np.abs(rounded) < np.float32(SMALLEST), np.float32(0), rounded)


def text(values: pa.Array, name: str, where: str) -> tuple[pa.Array, Checks]:
    """A column of any type but lists as text, null where missing. Raises DataError."""
    kind = values.type
    if pa.types.is_float16(kind):
        values, kind = values.cast(pa.float32()), pa.float32()
    if pa.types.is_floating(kind):
        values = _distinct(values, _float_digits(kind))
    elif pa.types.is_decimal(kind):
        values = _distinct(values, _decimal_digits)
    elif pa.types.is_timestamp(kind):
        moments = pa.timestamp("us", "UTC" if kind.tz else None)
        options = pc.CastOptions(moments, allow_time_truncate=True)
        values = pc.cast(values, options=options).cast(pa.string())
    elif pa.types.is_boolean(kind) or pa.types.is_date(kind):
        values = values.cast(pa.string())
    elif not (is_text(kind) or is_bytes(kind) or pa.types.is_integer(kind)):
        raise _unfit(values, name, where, "text")
    values, checks = parse.text(values, name, where)
    values = pc.if_else(pc.equal(pc.binary_length(values), 0), pa.scalar(None, pa.string()), values)
    return values, _of_feature(checks, name)


def _number(values: pa.Array, transform: Transform, where: str) -> tuple[pa.Array, Checks]:
    name, kind, checks = transform.name, values.type, []
    if is_text(kind) or is_bytes(kind):
        values, checks = parse.text(values, name, where)
        checks = _of_feature(checks, name)
        stripped = pl.Series(values).str.strip_chars()
        stripped = stripped.replace(TRUTH)
        numbers = stripped.cast(pl.Float64, strict=False).to_arrow()
        empty = (stripped.is_null() | (stripped == "")).to_numpy()
        wrong = numbers.is_null().to_numpy(zero_copy_only=False) & ~empty
        checks += [(f"{name} is not a number", wrong)] if wrong.any() else []
    elif pa.types.is_boolean(kind):
        numbers = values.cast(pa.uint8())
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = values
    else:
        raise _unfit(values, name, where, "numbers")
    wide = numbers.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    missing = np.isnan(wide)
    if isinstance(transform, Label) and missing.any():
        checks = [*checks, (f"missing {name}", missing)]
    return pa.array(to_float32(wide), pa.float32(), mask=missing), checks


def time(
    values: pa.Array, name: str, where: str, clock: Clock = SECONDS
) -> tuple[pa.Array, Checks]:
    """A column of any type as int64 microseconds, null where missing. Raises DataError."""
    moments, checks = microseconds(values, where, clock, name)
    missing = np.zeros(len(values), bool)
    for reason, mask in checks:
        if reason == f"missing {name}":
            missing |= mask
    return pa.array(moments, pa.int64(), mask=missing), _of_feature(checks, name)


def _list(values: pa.Array, transform: Categorical | Hashed, where: str) -> tuple[pa.Array, Checks]:
    name, separator, count = transform.name, transform.separator, len(values)
    if pa.types.is_fixed_size_list(values.type):
        values = values.cast(pa.list_(values.type.value_type))
    lengths = pc.list_value_length(values).fill_null(0).to_numpy()
    rows = np.repeat(np.arange(count), lengths)
    parts, part_checks = text(values.flatten(), name, where)
    checks = [(reason, np.isin(np.arange(count), rows[mask])) for reason, mask in part_checks]
    present = parts.is_valid().to_numpy(zero_copy_only=False)
    parts, lengths = parts.drop_null(), np.bincount(rows[present], minlength=count)
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int64)
    lists = pa.LargeListArray.from_arrays(offsets, parts)
    joined = pc.binary_join(lists, separator).cast(pa.string())
    joined = pc.if_else(pa.array(lengths == 0), pa.scalar(None, pa.string()), joined)
    # What is divided again must be what was joined: with "||", "a|" and "b" would not be.
    again = pc.split_pattern(joined, separator)
    ambiguous = pc.list_value_length(again).fill_null(0).to_numpy() != lengths
    alike = np.repeat(~ambiguous, lengths)
    if not ambiguous.all():
        theirs = again.filter(pa.array(~ambiguous)).flatten()
        differing = pc.not_equal(parts.filter(pa.array(alike)), theirs)
        of_row = np.repeat(np.arange(count), lengths)[alike]
        ambiguous[of_row[differing.to_numpy(zero_copy_only=False)]] = True
    if ambiguous.any():
        checks.append((f"a part of {name} contains the separator {separator!r}", ambiguous))
    return joined, checks


def _of_feature(checks: Checks, name: str) -> Checks:
    """parse's checks without the one for missing values, which features may have, and with the
    feature's name."""
    renamed = {"invalid UTF-8": f"invalid UTF-8 in {name}"}
    return [
        (renamed.get(reason, reason), mask)
        for reason, mask in checks
        if reason != f"missing {name}"
    ]


def _distinct(values: pa.Array, function: Any) -> pa.Array:
    """Text for each value, by a function that is called once per distinct value."""
    encoded = values.dictionary_encode()
    found = pa.array([function(value) for value in encoded.dictionary.to_pylist()], pa.string())
    return found.take(encoded.indices)


def _float_digits(kind: pa.DataType) -> Any:
    def digits(value: float) -> str | None:
        if kind != pa.float64():
            value = float(str(np.float32(value)))  # 0.1 rather than 0.10000000149011612
        if value != value:
            return None
        return str(int(value)) if value.is_integer() and abs(value) <= _EXACT else repr(value)

    return digits


def _decimal_digits(value: decimal.Decimal) -> str:
    return format(value.normalize(), "f") if value else "0"


def _unfit(values: pa.Array, name: str, where: str, wanted: str) -> DataError:
    return DataError(
        f"{where}: the column of {name} holds {values.type}; give one that holds {wanted}"
    )


def _is_list(kind: pa.DataType) -> bool:
    return (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )
