"""What columns raw files have, and how the files of one dataset differ in them."""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from etils import epath

from podway.beam.error import ColumnError, DataError
from podway.beam.formats import csv_source, source
from podway.beam.formats.rows import roles_of
from podway.beam.formats.stream import Stream
from podway.framework.config import Csv, Data, JsonLines, Parquet

Columns = dict[str, str]
"""Name → type."""

Group = dict[str, Any]
"""Files with the same columns, as reports list them: "columns", the number of "files", and the
"first" and "last" of them."""

SAMPLE_BYTES = 1 << 18
"""What is read of a file of JSON lines."""

FILES = 500
"""Files that are looked into to explain an error."""

_KINDS = {str: "text", bool: "true or false", int: "number", float: "number", list: "list",
          dict: "object"}  # fmt: skip


def of_file(file: str, data: Data) -> Columns:
    """The columns of a file, as its header says, or its first rows; {} where that cannot be read.

    Of JSON lines, whose rows need not be alike, those that are read.
    """
    try:
        match data.format:
            case Csv() as format:
                first = next(csv_source.records(file, format), None)
                names = list(format.names) if first is None or not format.header else first[0]
                return dict.fromkeys(names, "text")
            case Parquet():
                with epath.Path(file).open("rb") as stream:
                    schema = pq.ParquetFile(stream).schema_arrow
                return {field.name: str(field.type) for field in schema}
            case JsonLines() as format:
                with Stream(file, format.encoding) as opened:
                    return _of_lines(opened.read(SAMPLE_BYTES), set(roles_of(data).values()))
    except (OSError, ValueError, pa.ArrowException, DataError):  # the reader says what is wrong
        return {}
    return {}


def _of_lines(sample: bytes, wanted: set[str]) -> Columns:
    found: dict[str, set[str]] = {}
    for line in sample.split(b"\n"):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        for name, value in row.items() if isinstance(row, dict) else ():
            if name in wanted and value is not None:
                found.setdefault(name, set()).add(_KINDS[type(value)])
    return {name: " or ".join(sorted(kinds)) for name, kinds in sorted(found.items())}


def group(files: Iterable[tuple[str, Columns]], before: Sequence[Group] = ()) -> list[Group]:
    """The files by their columns; `before` are groups of others, which come first."""
    found = [dict(one) for one in before]
    for file, columns in files:
        alike = [one for one in found if one["columns"] == columns]
        if not columns:
            continue
        if alike:
            alike[0]["files"] += 1
            alike[0]["last"] = file
        else:
            found.append({"columns": columns, "files": 1, "first": file, "last": file})
    return found


def lines(groups: Sequence[Group]) -> list[tuple[int, str]]:
    """(number of files, what they have) where not all have the same columns: of the largest group
    its columns, of the others what differs."""
    if len(groups) < 2:
        return []
    usual = max(groups, key=lambda one: one["files"])
    others = [one for one in groups if one is not usual]
    return [
        (usual["files"], f"{_files(usual)} with {', '.join(usual['columns'])}"),
        *(
            (one["files"], f"{_files(one)} {difference(one['columns'], usual['columns'])}")
            for one in others
        ),
    ]


def difference(columns: Mapping[str, str], usual: Mapping[str, str]) -> str:
    """What columns differ from the usual ones, in words."""
    parts = [f"without {name}" for name in usual if name not in columns]
    parts += [f"with {name} ({kind})" for name, kind in columns.items() if name not in usual]
    parts += [
        f"{name} is {kind}, not {usual[name]}"
        for name, kind in columns.items()
        if name in usual and kind != usual[name]
    ]
    return "; ".join(parts) or "in another order"


def _files(one: Group) -> str:
    if one["files"] == 1:
        return f"file, {one['first']},"
    return f"files, {one['first']} to {one['last']},"


@contextlib.contextmanager
def explained(data: Data) -> Iterator[None]:
    """An error about a column says, too, which files have which columns, where they differ."""
    try:
        yield
    except ColumnError as error:
        files = source.find(data)[:FILES]
        with futures.ThreadPoolExecutor(16) as pool:
            found = list(pool.map(lambda file: of_file(file, data), files))
        told = lines(group(zip(files, found, strict=True)))
        if not told:
            raise
        table = "".join(f"\n  {count:>5,} {text}" for count, text in told)
        raise ColumnError(
            f"{error}\nThe files of {data.path} have other columns:{table}"
        ) from error
