"""JSON lines → rows: one object a line; a column is a member of it, or of an object inside."""

import dataclasses
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from podway.beam.error import DataError
from podway.beam.formats.rows import FIXED, RawBatch, Rejected, Roles, locate
from podway.beam.formats.stream import Stream
from podway.framework.config import JsonLines

BLOCK_BYTES = 16 << 20
"""Bytes parsed at once: one batch of rows."""


class _BadLine(Exception):
    """Why a line gives no row."""


def read(
    file: str, format: JsonLines, roles: Roles, *, block: int | None = None
) -> Iterator[RawBatch]:
    """The rows of a file; all values come as text.

    Args:
      file: name of the file.
      format: how it is written.
      roles: the columns that are read.
      block: bytes parsed at once; None: BLOCK_BYTES.

    Raises:
      DataError: no row of the first block has one of the columns, the file cannot be unpacked, or
        it is one array of objects.
    """
    try:
        with Stream(file, format.encoding) as stream:
            number = 1
            for lines in _blocks(stream, block or BLOCK_BYTES):
                if number == 1 and lines and _begins_array(lines[0]):
                    raise DataError(
                        f"{file} is one JSON array, not an object a line; jq -c '.[]' makes lines"
                        " of it"
                    )
                rows = _parse(lines, number, file, roles, stream.fraction())
                if stream.encoding:
                    said = {f"read as {stream.encoding}": len(rows.numbers)}
                    rows = dataclasses.replace(rows, notices=said)
                yield rows
                number += len(lines)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{file} cannot be read as JSON lines: {error}") from error


def _begins_array(line: bytes) -> bool:
    """Whether objects follow in an array; a line that is an array of its own is a bad row."""
    if not line.lstrip().startswith(b"["):
        return False
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return True
    return bool(found) and isinstance(found[0], dict)


def _blocks(stream: Stream, size: int) -> Iterator[list[bytes]]:
    """Lines that are not blank."""
    rest = b""
    while chunk := stream.read(size):
        whole, _, rest = (rest + chunk).rpartition(b"\n")
        yield [line for line in whole.split(b"\n") if line.strip()]
    yield [rest] if rest.strip() else []


def _parse(lines: list[bytes], first: int, file: str, roles: Roles, fraction: float) -> RawBatch:
    values, numbers, rejected = [], [], []
    for number, line in enumerate(lines, first):
        try:
            parsed = _object(line)
            values.append([_scalar(role, _member(parsed, name)) for role, name in roles.items()])
            numbers.append(number)
        except _BadLine as bad:
            rejected.append(Rejected(number, str(bad), _raw(line)))
    arrays = {role: _array([row[index] for row in values]) for index, role in enumerate(roles)}
    if first == 1 and any(
        len(array) and array.null_count == len(array) for array in arrays.values()
    ):
        names = {name for number in numbers for name in _names(_object(lines[number - 1]))}
        locate(roles, sorted(names), file)
    return RawBatch(
        columns=arrays,
        numbers=np.array(numbers, np.int64),
        raw=lambda position: _raw(lines[numbers[position] - first]),
        rejected=rejected,
        fraction=fraction,
    )


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line.decode())
    except UnicodeDecodeError:
        raise _BadLine("invalid UTF-8") from None
    except (ValueError, RecursionError):
        raise _BadLine("invalid JSON") from None
    if not isinstance(value, dict):
        raise _BadLine("not a JSON object")
    return value


def _member(value: Any, name: str) -> Any:
    """A member of an object, or of those inside of it: user.id; None: it has none."""
    if name in value:
        return value[name]
    for part in name.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def _names(value: dict[str, Any], before: str = "") -> Iterator[str]:
    """What all members are called."""
    for name, part in value.items():
        yield before + name
        if isinstance(part, dict):
            yield from _names(part, f"{before}{name}.")


def _array(values: list[Any]) -> pa.Array:
    """Text, or lists of text where some value is a list."""
    if any(isinstance(value, list) for value in values):
        lists = [[value] if isinstance(value, str) else value for value in values]
        return pa.array(lists, pa.list_(pa.string()))
    return pa.array(values, pa.string())


def _scalar(role: str, value: Any) -> Any:
    """The value as text; a whole number has no decimal point, as it would in other formats.

    A feature may also be a list, which remains one, and true or false.
    """
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:  # half of a surrogate pair
                raise _BadLine("invalid UTF-8") from None
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if role not in FIXED and isinstance(value, list):
        return [_scalar(role, part) for part in value]
    if role not in FIXED and isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _BadLine(f"{role} is neither text nor a number")
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        value = int(value)
    if isinstance(value, float) and role in FIXED and role != "time":
        raise _BadLine(f"{role} is not a whole number")
    return repr(value)


def _raw(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace")
