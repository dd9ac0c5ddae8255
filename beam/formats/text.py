"""Plain text → rows: a character each, of documents that are consecutive stretches of a file."""

import codecs
import functools
import itertools
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from etils import epath

from podway.beam.error import DataError
from podway.beam.formats.rows import RawBatch, Rejected, Roles, locate
from podway.beam.formats.stream import Stream
from podway.framework.config import Characters

BLOCK_BYTES = 1 << 22
"""Bytes decoded at once: one batch of rows."""

COLUMNS = ("document", "character")
"""NAME:NUMBER of the document, with the file's name and from 0; and the character."""

_ESCAPED = 0xDC00
"""A byte that is no UTF-8 becomes this code point and itself (PEP 383)."""


def read(file: str, format: Characters, roles: Roles) -> Iterator[RawBatch]:
    """The characters of a file, one row each; a byte order mark is none of them.

    Each byte that is no UTF-8 is a rejected row, and counts as one character.

    Raises:
      DataError: a role of another column, or a file that cannot be unpacked.
    """
    roles, name, done = locate(roles, COLUMNS, file), epath.Path(file).name, 0
    try:
        with Stream(file, format.encoding) as stream:
            for points in _code_points(stream):
                yield _rows(points, done, name, format, roles, stream.fraction())
                done += len(points)
    except OSError as error:
        raise DataError(f"{file} cannot be read as text: {error}") from error


def _code_points(stream: Stream) -> Iterator[np.ndarray]:
    """uint32 code points; what is no UTF-8 as _ESCAPED and the byte."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    for block in itertools.chain(iter(lambda: stream.read(BLOCK_BYTES), b""), [b""]):
        text = decoder.decode(block, final=not block)
        if text:
            yield np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _rows(
    points: np.ndarray, done: int, name: str, format: Characters, roles: Roles, fraction: float
) -> RawBatch:
    """Some consecutive characters of a file; `done` came before them."""
    numbers = np.arange(done + 1, done + len(points) + 1)
    bad = (points >= 0xD800) & (points < 0xE000)
    rejected = [
        Rejected(number, "invalid UTF-8", f"\\x{point - _ESCAPED:02x}")
        for number, point in zip(numbers[bad].tolist(), points[bad].tolist(), strict=True)
    ]
    points, numbers = points[~bad], numbers[~bad]
    document = (numbers - 1) // format.document
    first = done // format.document
    last = int(document[-1]) if len(document) else first
    distinct, index = np.unique(points, return_inverse=True)
    columns = {
        "document": _dictionary(
            document - first, [f"{name}:{number}" for number in range(first, last + 1)]
        ),
        "character": _dictionary(index, [chr(point) for point in distinct]),
    }
    return RawBatch(
        columns={role: columns[column] for role, column in roles.items()},
        numbers=numbers,
        raw=functools.partial(_raw, points, document, name),
        rejected=rejected,
        fraction=fraction,
    )


def _dictionary(indices: np.ndarray, values: list[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(
        pa.array(indices, pa.int32()), pa.array(values, pa.string())
    )


def _raw(points: np.ndarray, document: np.ndarray, name: str, position: int) -> dict[str, str]:
    return {"document": f"{name}:{document[position]}", "character": chr(points[position])}
