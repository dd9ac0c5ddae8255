"""A raw file → its rows, whatever its format."""

from collections.abc import Iterator

from beam import columnar, delimited, json_lines
from beam.rows import Rows
from framework.config import Csv, Data, JsonLines, Parquet, Rdatasets
from framework.error import ConfigError


def read(file: str, data: Data) -> Iterator[Rows]:
    """The rows of one of the files of data.path, in order.

    Raises:
      DataError: the file is not in data.format, or lacks a column of data.columns.
    """
    match data.format:
        case Csv() as format:
            return delimited.read(file, format, data.columns)
        case Parquet():
            return columnar.read_parquet(file, data.columns)
        case JsonLines():
            return json_lines.read(file, data.columns)
        case Rdatasets():
            return columnar.read_rdatasets(file, data.columns)
    raise ConfigError(f"data.format is {data.format}; give Csv, Parquet, JsonLines or Rdatasets")
