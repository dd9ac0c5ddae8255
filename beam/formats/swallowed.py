"""Values of a CSV file over several lines: are they text, or rows that a quote swallows?"""

import csv
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from podway.beam.error import DataError
from podway.beam.formats import csv_source
from podway.beam.formats.csv_source import Source, separator
from podway.beam.formats.quotes import look_like_rows
from podway.framework.config import Csv

pc: Any = pyarrow.compute  # which makes its functions when it is imported

_LENGTHS = ("2 to 9", "10 to 99", "100 to 999", "1,000 or more")


def lines(raw: bytes) -> list[bytes]:
    """A row, line by line."""
    return re.split(rb"\r\n|\n|\r", raw.strip(b"\r\n"))


def line_ends(arrays: Sequence[pa.Array]) -> np.ndarray:
    """How many ends of lines there are in the values of each row."""
    found = np.zeros(len(arrays[0]) if arrays else 0, np.int64)
    for array in arrays:
        content = np.frombuffer(array.buffers()[2] or b"", np.uint8)
        if (content == ord("\n")).any() or (content == ord("\r")).any():  # a quick look at all
            counts = [pc.count_substring(array, mark).to_numpy() for mark in (b"\n", b"\r")]
            found += np.maximum(*counts)
    return found


def lengths(ends: np.ndarray) -> dict[str, int]:
    """How many rows have values over how many lines, by orders of magnitude."""
    long = ends[ends > 0] + 1
    places = np.minimum(np.log10(long).astype(np.int64), len(_LENGTHS) - 1)
    return {
        f"values over {_LENGTHS[place]} lines": int(count)
        for place, count in enumerate(np.bincount(places))
        if count
    }


def are_rows(found: Sequence[bytes], format: Csv, columns: int) -> bool:
    """Whether a row's lines look like rows, unless the config says that quotes are quotes."""
    return format.quote == "auto" and look_like_rows(found, separator(format), columns)


def refuse(file: str, format: Csv, source: Source, rows: Sequence[int]) -> None:
    """Raises DataError where a quote swallows `rows`, or text follows one that closes a value over
    several lines."""
    if source.quotes and source.quotes.broken:
        first, last = (line_at(file, format, offset) for offset in source.quotes.broken)
        raise DataError(
            f"{file}: the quote that opens in {_place(file, format, first)} swallows"
            f" {last - first} lines, and text follows the one that closes it, in line {last};"
            f" {_remedy(format)}, else mend line {first}"
        )
    if rows:
        row, first, last = _lines_of(file, format, rows[0])
        raise DataError(
            f"{file}: the quote that opens in row {row}, line {first}, swallows {last - first}"
            f" lines, which look like rows; {_remedy(format)}, or to {format.quote_character!r}"
            f" where the value really has line ends, else mend line {first}"
        )


def never_closed(file: str, format: Csv, source: Source, row: int) -> DataError:
    """The error of a quote that is open at the end of a file."""
    line = line_at(file, format, source.quotes.opened) if source.quotes else 0
    return DataError(
        f"{file}: a quote that opens in row {row} is never closed; {_remedy(format)}, else mend"
        f" line {line}"
    )


def _remedy(format: Csv) -> str:
    return (
        f"where {format.quote_character} is text in this file, set the format's quote to none"
        " (of the events: --data.format.quote none)"
    )


def line_at(file: str, format: Csv, offset: int) -> int:
    """The number of the line in which a byte of the parsed text is, from 1."""
    with csv_source.opened(file, format) as source:
        line, missing = 1, offset
        while missing and (chunk := source.read(min(missing, 1 << 20))):
            line += len(re.findall(rb"\r\n|\n|\r", chunk))
            missing -= len(chunk)
    return line


def _place(file: str, format: Csv, line: int) -> str:
    """The row that begins in a line, as far as it can be told, and the line."""
    before = 0
    try:
        for _, last in csv_source.records(file, format):
            if last >= line:
                break
            before += 1
    except csv.Error:  # a value too long for it
        return f"line {line}"
    return f"row {before + 1 - format.header}, line {line}"


def _lines_of(file: str, format: Csv, row: int) -> tuple[int, int, int]:
    """A row, and its first and last line; 0 where that cannot be told."""
    try:
        for number, (values, last) in enumerate(
            csv_source.records(file, format), 1 - format.header
        ):
            if number == row:
                inside = sum(len(re.findall("\r\n|\n|\r", value)) for value in values)
                return row, last - inside, last
    except csv.Error:
        pass
    return row, 0, 0
