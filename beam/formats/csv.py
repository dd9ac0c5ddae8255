"""CSV → rows: RFC 4180 quoting (also of newlines), any delimiter, plain or gzip."""

import csv
import dataclasses
import functools
import io
import secrets
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from podway.beam.error import DataError
from podway.beam.formats.rows import RawBatch, Rejected, Roles, locate
from podway.beam.formats.source import Stream
from podway.framework.config import Csv
from podway.framework.error import ConfigError

BLOCK_BYTES = 16 << 20
"""Bytes parsed at once: one batch of rows, and the limit for the length of one row."""

RAGGED = "wrong number of fields"


def read(file: str, format: Csv, roles: Roles) -> Iterator[RawBatch]:
    """The rows of a file; values are bytes, not decoded yet. An empty file has none.

    Raises:
      ConfigError: a delimiter that cannot separate, or names beside a header.
      DataError: a column missing, a file that cannot be unpacked or parsed.
    """
    if not format.delimiter.isascii() or format.delimiter in '"\r\n':
        raise ConfigError(f"data.format.delimiter is {format.delimiter!r}; give an ASCII separator")
    if format.header and format.names:
        raise ConfigError("data.format.names is set and data.format.header too; choose one of them")
    try:
        if _is_empty(file):
            return
        names = _header(file, format.delimiter) if format.header else list(format.names)
        positions = {role: names.index(name) for role, name in locate(roles, names, file).items()}
        done = 0
        try:
            for rows in _parse(file, format, names, positions, "utf8"):
                done = int(rows.numbers[-1]) if len(rows.numbers) else done
                yield rows
        except pa.ArrowInvalid as error:
            if "Expected" not in str(error):
                raise
            # A ragged row that is no UTF-8 stops the parser. Latin-1 knows every byte, and what
            # it made of them is turned back.
            for rows in _parse(file, format, names, positions, "latin1"):
                yield _after(rows, done)
    except (pa.ArrowInvalid, OSError, UnicodeError, csv.Error) as error:
        raise DataError(
            f"{file} cannot be read as CSV ({error}); is it cut short, or a quote never closed?"
        ) from error


def _is_empty(file: str) -> bool:
    """Whether there is nothing but a byte order mark and ends of lines."""
    with Stream(file) as stream:
        while chunk := stream.bytes.read(1 << 16):
            if chunk.strip(b"\xef\xbb\xbf\r\n"):
                return False
    return True


def _header(file: str, delimiter: str) -> list[str]:
    with Stream(file) as stream:
        # Rows that follow may be no UTF-8: they are none of the header's business.
        text = io.TextIOWrapper(stream.bytes, "utf-8-sig", "surrogateescape", newline="")
        names = next(filter(None, csv.reader(text, delimiter=delimiter)))
        return [name.encode().decode() for name in names]


def _parse(
    file: str, format: Csv, names: list[str], positions: dict[str, int], encoding: str
) -> Iterator[RawBatch]:
    """Batches of rows. A header is parsed as row 0, so that every column is read as bytes."""
    next_row = 0 if format.header else 1
    ragged: list[Rejected] = []
    # An open quote takes all that follows into its value. So a row that we know must come last.
    end, ended = secrets.token_hex(8), False

    def reject(row: arrow_csv.InvalidRow) -> str:
        number = row.number - 1 if format.header else row.number
        ragged.append(Rejected(number, RAGGED, _text(row.text.encode(encoding))))
        return "skip"

    with Stream(file) as stream:
        # Without threads, as only then the parser knows the number of a ragged row.
        batches = arrow_csv.open_csv(
            _Extended(stream.bytes, f"\n{end}{format.delimiter * (len(names) - 1)}\n".encode()),
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=BLOCK_BYTES, column_names=names, encoding=encoding
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=format.delimiter, newlines_in_values=True, invalid_row_handler=reject
            ),
            convert_options=arrow_csv.ConvertOptions(
                check_utf8=False, column_types=dict.fromkeys(names, pa.binary())
            ),
        )
        for batch in batches:
            numbers = _number(next_row, batch.num_rows, [row.row for row in ragged])
            if batch.num_rows and batch.column(0)[-1].as_py() == end.encode():
                ended, batch, numbers = True, batch[:-1], numbers[:-1]
            if not len(numbers) and not ragged:
                continue
            next_row = int(numbers[-1]) + 1 if len(numbers) else next_row
            header = 1 if len(numbers) and numbers[0] == 0 else 0
            arrays = [_original(array[header:], encoding) for array in batch.columns]
            yield RawBatch(
                columns={role: arrays[position] for role, position in positions.items()},
                numbers=numbers[header:],
                raw=functools.partial(_raw, names, arrays),
                rejected=[row for row in ragged if row.row < next_row],
                fraction=stream.fraction(),
            )
            ragged = [row for row in ragged if row.row >= next_row]
    if not ended:
        opened = max([next_row - 1, *(row.row for row in ragged)])
        raise DataError(f"{file}: a quote that opens in row {opened} is never closed")
    if ragged:
        nothing = {role: pa.array([], pa.binary()) for role in positions}
        yield RawBatch(nothing, np.array([], np.int64), str, ragged, 1.0)


class _Extended:
    """A stream of bytes with some more at its end."""

    closed = False

    def __init__(self, stream: pa.NativeFile, more: bytes):
        self._stream, self._more = stream, more

    def read(self, size: int) -> bytes:
        parts, missing = [], size
        while missing and (part := self._stream.read(missing)):
            parts.append(part)
            missing -= len(part)
        parts.append(self._more[:missing])
        self._more = self._more[missing:]
        return b"".join(parts)


def _number(first: int, count: int, left_out: Sequence[int]) -> np.ndarray:
    """The first `count` row numbers from `first` on that are not left out (rising)."""
    numbers = np.arange(first, first + count)
    gaps = np.asarray(left_out, np.int64) - np.arange(len(left_out))
    return numbers + np.searchsorted(gaps, numbers, side="right")


def _after(rows: RawBatch, done: int) -> RawBatch:
    """Without the rows up to number `done`."""
    skip = int(np.searchsorted(rows.numbers, done, side="right"))
    return dataclasses.replace(
        rows,
        columns={role: array[skip:] for role, array in rows.columns.items()},
        numbers=rows.numbers[skip:],
        raw=lambda position: rows.raw(position + skip),
        rejected=[row for row in rows.rejected if row.row > done],
    )


def _original(array: pa.Array, encoding: str) -> pa.Array:
    """The bytes that stood in the file."""
    if encoding == "utf8":
        return array
    return pa.array([value.decode().encode(encoding) for value in array.to_pylist()], pa.binary())


def _raw(names: list[str], arrays: list[pa.Array], position: int) -> dict[str, str]:
    return {name: _text(array[position].as_py()) for name, array in zip(names, arrays, strict=True)}


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")
