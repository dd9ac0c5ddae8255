"""Rows whose labels are asked for: whatever a program has them in → raw columns as they are served.

A value reads as it does in the raw data: whole numbers are text by their digits, dates and times
are whole seconds since 1970 (UTC), None is missing.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from podway.launch.loaded.error import RequestError, require

MISSING_TIME = -(2**63)
"""As the serving graph has it (export/graph/features.py)."""
LATEST = 3030 * 31_556_952
"""Seconds from 1970 to the year 5000: what is later is in another unit (export/graph/times.py)."""
_EXACT = 2.0**53


@dataclasses.dataclass(frozen=True)
class Input:
    """A raw column that the model reads.

    Attributes:
      kind: "string", "float32", "int64" (a time), or "uint8": pixels.
      separator: of the parts of a list; None: it has single values.
      size: of a row of pixels.
    """

    kind: str
    separator: str | None = None
    size: int = 0


def columns(rows: Any, inputs: Mapping[str, Input]) -> dict[str, np.ndarray]:
    """Raw values by input, as the inputs of a serving graph take them.

    Args:
      rows: a list of dicts, a dict of columns, or a table of pandas, polars or PyArrow.
      inputs: what the model reads. Other columns are left aside.

    Raises RequestError: a column is missing, or a value cannot be what its column holds.
    """
    found = _columns(rows)
    missing = sorted(set(inputs) - set(found))
    require(
        not missing,
        f"the rows lack {', '.join(map(repr, missing))}, which the model reads; they have"
        f" {', '.join(map(repr, sorted(found))) or 'no column'}: give None where a value is"
        " missing",
    )
    lengths = {name: len(found[name]) for name in inputs}
    require(
        len(set(lengths.values())) == 1, f"the columns have different numbers of rows: {lengths}"
    )
    return {name: _column(name, found[name], each) for name, each in inputs.items()}


def _columns(rows: Any) -> Mapping[str, Sequence[Any]]:
    if hasattr(rows, "__arrow_c_stream__"):
        import pyarrow as pa

        return pa.table(rows).to_pydict()
    if isinstance(rows, Mapping):
        for name, values in rows.items():
            require(
                not isinstance(values, str | bytes | numbers.Number),
                f"the column {name!r} is {values!r}; give a list of dicts, or a dict of lists",
            )
        return rows
    require(
        isinstance(rows, Sequence) and all(isinstance(row, Mapping) for row in rows),
        "give rows as a list of dicts, as a dict of columns, or as a table of pandas, polars or"
        f" PyArrow, not as {type(rows).__name__}",
    )
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _column(name: str, values: Sequence[Any], given: Input) -> np.ndarray:
    convert = {"string": _text, "float32": _number, "int64": _time, "uint8": _pixels}[given.kind]
    converted = []
    for number, value in enumerate(values):
        try:
            converted.append(convert(value, given))
        except (TypeError, ValueError, OverflowError) as error:
            raise RequestError(f"row {number}: {name} is {value!r}; give {error}") from error
    if given.kind == "uint8":
        return np.array(converted, np.uint8).reshape(len(converted), given.size)
    return np.array(converted, object if given.kind == "string" else given.kind)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, numbers.Real) and math.isnan(value))


def _text(value: Any, given: Input) -> str:
    if isinstance(value, list | tuple | np.ndarray):
        if given.separator is None:
            raise TypeError("one value, not a list")
        return given.separator.join(_text(part, given) for part in value)
    if _is_missing(value):
        return ""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, numbers.Real):
        number = float(str(value))  # 0.1 of a float32, rather than 0.10000000149011612
        return str(int(number)) if number.is_integer() and abs(number) <= _EXACT else repr(number)
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return value.isoformat()
    if not isinstance(value, str):
        raise TypeError("text, a number or None")
    return value


def _number(value: Any, _: Input) -> float:
    if _is_missing(value) or value == "":
        return float("nan")
    if not isinstance(value, numbers.Real | str):
        raise TypeError("a number or None")
    try:
        return float(value)
    except ValueError:
        raise ValueError("a number or None") from None


def _time(value: Any, _: Input) -> int:
    if _is_missing(value) or value == "":
        return MISSING_TIME
    if isinstance(value, datetime.datetime):
        zoned = value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
        return math.floor(zoned.timestamp())
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or abs(int(value)) > LATEST:
        raise TypeError("whole seconds since 1970, a datetime, or None")
    return int(value)


def _pixels(value: Any, given: Input) -> np.ndarray:
    if value is None:
        return np.zeros(given.size, np.uint8)
    pixels = np.frombuffer(value, np.uint8) if isinstance(value, bytes) else np.asarray(value)
    flat = pixels.reshape(-1)
    if len(flat) != given.size or (flat != flat.astype(np.uint8)).any():
        raise ValueError(f"{given.size} whole numbers from 0 to 255, or None")
    return flat.astype(np.uint8)
