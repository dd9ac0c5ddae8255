"""CSV → rows: RFC 4180 quoting (also of newlines) or none, any delimiter and encoding."""

import csv
import dataclasses
import functools
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from pyarrow import csv as arrow_csv

from podway.beam.error import DataError
from podway.beam.formats import csv_source, swallowed
from podway.beam.formats.csv_source import SEPARATOR, Source, separator
from podway.beam.formats.quotes import are_text
from podway.beam.formats.rows import RawBatch, Rejected, Roles, locate
from podway.beam.formats.stream import Stream
from podway.framework.config import Csv

pc: Any = pyarrow.compute  # which makes its functions when it is imported

BLOCK_BYTES = 16 << 20
"""Bytes parsed at once: one batch of rows, and the limit for the length of one row."""

RAGGED = "wrong number of fields"
_DELIMITERS = ("\t", ";", ",", "|", "::")
LONG = "wrong number of fields, in a quote over several lines"
DROPPED = "quotes are dropped of values that go on after the closing one"


def read(
    file: str, format: Csv, roles: Roles, *, numbers: Collection[str] = (), block: int | None = None
) -> Iterator[RawBatch]:
    """The rows of a file; values are bytes, not decoded yet. An empty file has none.

    Args:
      file: name of the file.
      format: how it is written.
      roles: the columns that are read.
      numbers: those of them that hold numbers, for a decimal comma.
      block: bytes parsed at once; None: BLOCK_BYTES.

    Raises:
      DataError: a column missing, a file that cannot be unpacked or parsed, or rows that a quote
        swallows.
    """
    block = block or BLOCK_BYTES
    try:
        first = next(csv_source.records(file, format), None)
        if first is None:
            return
        names = [_valid(name) for name in first[0]] if format.header else list(format.names)
        positions = {
            role: names.index(name)
            for role, name in _locate(roles, names, file, format.delimiter).items()
        }
        done = 0
        try:
            for rows in _Parser(file, format, names, positions, "utf8").batches(block):
                done = int(rows.numbers[-1]) if len(rows.numbers) else done
                yield _values(rows, format, numbers)
        except pa.ArrowInvalid as error:
            if "Expected" not in str(error):
                raise
            # A ragged row that is no UTF-8 stops the parser. Latin-1 knows every byte, and what
            # it made of them is turned back.
            for rows in _Parser(file, format, names, positions, "latin1").batches(block):
                yield _values(_after(rows, done), format, numbers)
    except (pa.ArrowInvalid, OSError, UnicodeError, csv.Error) as error:
        raise DataError(
            f"{file} cannot be read as CSV ({error}); is it cut short, or a quote never closed?"
        ) from error


def quotes_are_text(file: str, format: Csv, sample: int) -> bool:
    """Whether the first `sample` bytes of a file make sense only where quotes are text."""
    if not format.quote_character or format.escape:
        return False
    with csv_source.opened(file, format) as source:
        source.quotes = None
        text = source.read(sample)
    ours = source.end.encode() + b"\n"
    text = text.removesuffix(ours) if text.endswith(ours) else text[: text.rfind(b"\n") + 1]
    between = separator(format)
    first = next((line for line in text.replace(b"\r", b"\n").split(b"\n") if line), b"")
    columns = len(format.names) or first.count(between) + 1
    return are_text(text, format.quote_character.encode(), between, columns)


def _valid(name: str) -> str:
    return name.encode().decode()  # which a byte that is no UTF-8 fails


def _locate(roles: Roles, names: list[str], file: str, delimiter: str) -> Roles:
    """The roles; an error says, too, which other delimiter it may be."""
    try:
        return locate(roles, names, file)
    except DataError as error:
        others = [
            one for one in ("\t", ";", ",", "|", "::") if one in names[0] and one != delimiter
        ]
        if len(names) > 1 or not others:
            raise
        raise DataError(
            f"{error}; or is data.format.delimiter {others[0]!r}, not {delimiter!r}?"
        ) from None


class _Parser:
    """One pass over a file. A header is parsed as row 0, so that every column is read as bytes."""

    def __init__(
        self, file: str, format: Csv, names: list[str], positions: dict[str, int], encoding: str
    ):
        self._file, self._format, self._encoding = file, format, encoding
        self._names, self._positions = names, positions
        self._text = functools.partial(_text, separator(format), format.delimiter)
        self._ragged: list[Rejected] = []
        self._swallowing: list[int] = []
        self._dropped, self._end = 0, b""

    def batches(self, block: int) -> Iterator[RawBatch]:
        """Batches of rows."""
        next_row, ended = 0 if self._format.header else 1, False
        with Stream(self._file, self._format.encoding) as stream:
            source = Source(stream, self._format, len(self._names))
            self._end = source.end.encode()
            refuse = functools.partial(swallowed.refuse, self._file, self._format, source)
            try:
                for batch in arrow_csv.open_csv(source, **self._options(block)):
                    left_out = [row.row for row in self._ragged]
                    numbers = _number(next_row, batch.num_rows, left_out)
                    if batch.num_rows and batch.column(0)[-1].as_py() == self._end:
                        ended, batch, numbers = True, batch[:-1], numbers[:-1]
                    next_row = int(numbers[-1]) + 1 if len(numbers) else next_row
                    rows = self._rows(batch, numbers, next_row, source)
                    refuse(self._swallowing)
                    if len(numbers) or rows.rejected:
                        yield dataclasses.replace(rows, fraction=stream.fraction())
            except pa.ArrowInvalid as error:
                refuse(self._swallowing)
                if "straddling" not in str(error) or not (source.quotes and source.quotes.state):
                    raise
                line = swallowed.line_at(self._file, self._format, source.quotes.opened)
                raise pa.ArrowInvalid(f"{error}; in line {line} a quote opens") from error
            refuse(self._swallowing)
            if not ended:
                raise swallowed.never_closed(
                    self._file,
                    self._format,
                    source,
                    max([next_row - 1, *(row.row for row in self._ragged)]),
                )
            notices = self._notices(source, [], np.array([], np.int64))
        if self._ragged or notices:
            nothing = {role: pa.array([], pa.binary()) for role in self._positions}
            yield RawBatch(nothing, np.array([], np.int64), str, self._ragged, 1.0, notices)

    def _options(self, block: int) -> dict[str, Any]:
        """Without threads, as only then the parser knows the number of a ragged row."""
        quote, escape = self._format.quote_character, self._format.escape
        return {
            "read_options": arrow_csv.ReadOptions(
                use_threads=False,
                block_size=block,
                column_names=self._names,
                encoding=self._encoding,
            ),
            "parse_options": arrow_csv.ParseOptions(
                delimiter=separator(self._format).decode(),
                quote_char=quote or False,
                escape_char=escape or False,
                newlines_in_values=bool(quote or escape),
                invalid_row_handler=self._reject,
            ),
            "convert_options": arrow_csv.ConvertOptions(
                check_utf8=False, column_types=dict.fromkeys(self._names, pa.binary())
            ),
        }

    def _reject(self, row: arrow_csv.InvalidRow) -> str:
        number = row.number - 1 if self._format.header else row.number
        raw = row.text.encode(self._encoding)
        lines = self._look(raw, number)
        reason = LONG if len(lines) > 1 and self._format.quote_character else RAGGED
        self._ragged.append(Rejected(number, reason, self._text(raw)))
        return "skip"

    def _rows(
        self, batch: pa.RecordBatch, numbers: np.ndarray, next_row: int, source: Source
    ) -> RawBatch:
        """A batch without the header, and what is ragged up to the row `next_row`."""
        header = 1 if len(numbers) and numbers[0] == 0 else 0
        arrays = [_original(array[header:], self._encoding) for array in batch.columns]
        if len(self._format.delimiter) > 1:
            arrays = [_delimited(array, self._format.delimiter) for array in arrays]
        numbers = numbers[header:]
        rejected = [row for row in self._ragged if row.row < next_row]
        self._ragged = [row for row in self._ragged if row.row >= next_row]
        return RawBatch(
            columns={role: arrays[position] for role, position in self._positions.items()},
            numbers=numbers,
            raw=functools.partial(_raw, self._names, arrays, self._text),
            rejected=rejected,
            fraction=0.0,
            notices=self._notices(source, arrays, numbers),
        )

    def _notices(
        self, source: Source, arrays: list[pa.Array], numbers: np.ndarray
    ) -> dict[str, int]:
        """What was converted, or looks odd, and in how many rows."""
        found = {}
        if source.encoding and len(numbers):
            found[f"read as {source.encoding}"] = len(numbers)
        if source.quotes is None or not source.quotes.seen:
            return found
        if more := source.quotes.dropped - self._dropped:
            found[DROPPED] = more
            self._dropped += more
        ends = swallowed.line_ends(arrays)
        for row in np.flatnonzero(ends).tolist():
            values = [array[row].as_py() for array in arrays]
            self._look(separator(self._format).join(values), int(numbers[row]))
        return found | swallowed.lengths(ends)

    def _look(self, raw: bytes, number: int) -> list[bytes]:
        """The lines of a row; remembers it where they look like rows. If they are all that follow,
        ours included, the quote is never closed, which another error says."""
        lines = swallowed.lines(raw)
        if self._end not in raw and swallowed.are_rows(lines, self._format, len(self._names)):
            self._swallowing.append(number)
        return lines


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
        notices=rows.notices if skip < len(rows.numbers) else {},
    )


def _original(array: pa.Array, encoding: str) -> pa.Array:
    """The bytes that stood in the file."""
    if encoding == "utf8":
        return array
    return pa.array([value.decode().encode(encoding) for value in array.to_pylist()], pa.binary())


def _delimited(array: pa.Array, delimiter: str) -> pa.Array:
    """Values with the delimiters that are in quotes."""
    return pc.replace_substring(array, SEPARATOR, delimiter.encode())


def _values(rows: RawBatch, format: Csv, numbers: Collection[str]) -> RawBatch:
    """With nulls where values stand for such, and points for decimal commas."""
    columns = dict(rows.columns)
    nulls = pa.array([value.encode() for value in format.null if value], pa.binary())
    if len(nulls):
        for role, array in columns.items():
            none = pc.is_in(array, nulls)
            columns[role] = pc.if_else(none, pa.scalar(None, array.type), array)
    if format.decimal == ",":
        for role in numbers:  # a point would divide thousands: it makes no number
            array = pc.replace_substring(columns[role], b".", b"'")
            columns[role] = pc.replace_substring(array, b",", b".")
    return dataclasses.replace(rows, columns=columns)


def _raw(
    names: list[str], arrays: list[pa.Array], text: Callable[[bytes], str], position: int
) -> dict[str, str]:
    return {name: text(array[position].as_py()) for name, array in zip(names, arrays, strict=True)}


def _text(between: bytes, delimiter: str, value: bytes) -> str:
    text = value.decode("utf-8", "backslashreplace")
    return text if len(delimiter) == 1 else text.replace(between.decode(), delimiter)
