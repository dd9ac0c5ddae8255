"""A raw file → its rows, whatever its format."""

from collections.abc import Collection, Iterator

from podway.beam.formats import csv, idx, json_lines, lists, parquet, text
from podway.beam.formats.rows import (
    RawBatch,
    Roles,
    complete,
    conditions_of,
    reads,
    role_of,
    roles_of,
)
from podway.beam.paths import partitions
from podway.framework.config import (
    Characters,
    Csv,
    Data,
    Idx,
    JsonLines,
    Lists,
    Parquet,
    Rdatasets,
    SideTable,
)
from podway.framework.config.features import kind
from podway.framework.config.where import number_columns
from podway.framework.error import ConfigError
from podway.framework.schema.schema import EVENT_WEIGHT

SAMPLE_BYTES = 1 << 18
"""What is read of a file to recognise how it is written."""
SAMPLE_ROWS = 10_000


def read(
    file: str,
    raw: Data | SideTable,
    *,
    sample: bool = False,
    only: Collection[str] = (),
) -> Iterator[RawBatch]:
    """The rows of one of the files of `raw.path`, in order.

    Args:
      file: name of the file.
      raw: what it is of.
      sample: in small batches, as the first ones are wanted.
      only: the roles that are read, of formats that store columns; none: all.

    Raises:
      DataError: the file is not in the format that it should be in, or lacks a column.
    """
    roles = roles_of(raw)
    held = {} if isinstance(raw.format, Rdatasets) else partitions(file)
    some = {role: name for role, name in roles.items() if role in only}
    if isinstance(raw.format, Parquet) and any(name not in held for name in some.values()):
        roles = some  # else there would be no column, and so no row
    for rows in _read(file, raw, roles, sample=sample):
        yield complete(rows, roles, held) if held else rows


def _read(file: str, raw: Data | SideTable, roles: Roles, *, sample: bool) -> Iterator[RawBatch]:
    block = SAMPLE_BYTES if sample else None
    match raw.format:
        case Csv() as format:
            numbers = [one.name for one in raw.features if kind(one) == "number" and reads(one)]
            numbers += [role_of(column) for column in number_columns(conditions_of(raw))]
            numbers += [EVENT_WEIGHT]
            return csv.read(file, format, roles, numbers=numbers, block=block)
        case Parquet():
            return parquet.read_parquet(file, roles, rows=SAMPLE_ROWS if sample else None)
        case JsonLines() as format:
            return json_lines.read(file, format, roles, block=block)
        case Lists() as format:
            return lists.read(file, format, roles, block=block)
        case Rdatasets():
            return parquet.read_rdatasets(file, roles)
        case Characters() as format:
            return text.read(file, format, roles)
        case Idx() as format:
            return idx.read(file, format, roles)
    raise ConfigError(
        f"data.format is {raw.format}; give Csv, Parquet, JsonLines, Lists, Rdatasets, Characters"
        " or Idx"
    )
