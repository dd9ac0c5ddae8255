"""A file of users, or of histories: Parquet, JSON lines, CSV, or plain text with an id a line."""

from __future__ import annotations

import csv
import functools
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa
from etils import epath

from podway.launch.batch.source import HISTORIES, of_histories, rejected_rows
from podway.launch.loaded import histories
from podway.launch.loaded.error import RequestError, require
from podway.launch.loaded.histories import Histories, Items

Row = Mapping[str, Any]
_WANTED = "give all, or a file of ids"
_FORMATS = (".parquet", ".jsonl", ".csv")


def has_histories(file: str) -> bool:
    """Whether a file of users brings their histories. Raises RequestError: there is none."""
    path = _there("--users", file, _WANTED)
    if path.suffix not in _FORMATS:
        return False
    first = next(rows(path, ("user", "history", "times"), needed=("user",)), {})
    return "history" in first


def listed(file: str, flag: str = "--users", column: str = "user") -> list[str]:
    """The ids of a file: of its column, or a text with one a line. Raises RequestError."""
    path = _there(flag, file, _WANTED)
    if path.suffix in _FORMATS:
        found = [
            histories.text_of(row.get(column), f"{flag} {file}, row {number}")
            for number, row in enumerate(rows(path, (column,), needed=(column,)), 1)
        ]
    else:
        try:
            lines = path.read_text(encoding="utf-8").removeprefix("\ufeff").splitlines()
        except UnicodeDecodeError as error:
            raise RequestError(
                f"{flag} {file} is no text in UTF-8; give a {column} id a line"
            ) from error
        found = [line for line in lines if line]
    require(bool(found), f"{flag} {file} is empty; give a {column} id a line")
    return found


class OfFile:
    """Histories of a file (a Source).

    Columns: "history", a list of item ids; where the model reads times, "times", a list of whole
    seconds since 1970; and "user", if they have names. In a CSV, lists are divided by spaces.

    Args:
      file: its path.
      items: of the model.
      timed: whether the model reads times.
    """

    kind = HISTORIES

    def __init__(self, file: str, items: Items, *, timed: bool):
        self._path = _there("--histories", file, "give one")
        self._items, self._timed = items, timed
        require(
            self._path.suffix in _FORMATS,
            f"--histories {file}: give a .parquet file, or a .jsonl of one object a line, or a"
            " .csv with a header",
        )

    @property
    def identity(self) -> Any:
        """Its content."""
        return self._content

    @property
    def total(self) -> int:
        """Its rows."""
        return self._count

    @functools.cached_property
    def _content(self) -> Any:
        with self._path.open("rb") as file:
            digest = hashlib.sha256()
            while chunk := file.read(1 << 22):
                digest.update(chunk)
        return {"file": digest.hexdigest()}

    @functools.cached_property
    def _count(self) -> int:
        if self._path.suffix == ".parquet":
            import pyarrow.parquet as pq

            try:
                with self._path.open("rb") as file:
                    return pq.ParquetFile(file).metadata.num_rows
            except pa.ArrowInvalid as error:
                raise RequestError(f"{self._path} cannot be read as Parquet: {error}") from error
        if self._path.suffix == ".csv":
            return sum(1 for _ in self._rows())
        with self._path.open("rb") as lines:
            return sum(1 for line in lines if line.strip())

    @property
    def rejected(self) -> pa.Table:
        """See Source: none yet; who has no item that the model knows is found when it answers."""
        return rejected_rows([], [], "")

    def parts(self, size: int) -> Iterator[pa.Table]:
        """See Source. Raises RequestError with the row that is no history."""
        read = self._rows()
        for first in itertools.count(0, size):
            found = list(itertools.islice(read, size))
            if not found:
                return
            yield of_histories(self._histories(first, found))

    def _rows(self) -> Iterator[Row]:
        needed = ("history", *["times"] * self._timed)
        return rows(self._path, (*needed, "user"), needed=needed)

    def _histories(self, first: int, found: list[Row]) -> Histories:
        named = "user" in found[0]
        for number, row in enumerate(found, first + 1):
            for column, wanted in (("history", True), ("times", self._timed)):
                require(
                    not wanted or isinstance(row.get(column), list),
                    f"{self._path}, row {number}: {column} is {row.get(column)!r}; give a list",
                )
            require(
                not named or row.get("user") is not None,
                f"{self._path}, row {number}: it has no user, and the first row has one",
            )
        try:
            return histories.of_values(
                [row["history"] for row in found],
                self._items,
                [row["times"] for row in found] if self._timed else None,
                timed=self._timed,
                names=[histories.text_of(row["user"], "user") for row in found] if named else None,
            )
        except RequestError as error:
            raise RequestError(f"{self._path}, rows from {first + 1}: {error}") from error


def rows(path: epath.Path, names: tuple[str, ...], *, needed: tuple[str, ...]) -> Iterator[Row]:
    """Rows of a file, with those of the columns `names` that it has. Raises RequestError: it lacks
    one that is `needed`, or is not what its name says."""
    kinds: dict[str, Callable[..., Iterator[Row]]] = {
        ".parquet": _parquet,
        ".jsonl": _json_lines,
        ".csv": _csv,
    }
    return kinds[path.suffix](path, names, needed)


def _there(flag: str, file: str, wanted: str) -> epath.Path:
    path = epath.Path(file)
    require(path.exists() and not path.is_dir(), f"{flag} {file}: there is no such file; {wanted}")
    return path


def _check(path: epath.Path, there: list[str], needed: tuple[str, ...]) -> None:
    missing = [name for name in needed if name not in there]
    require(not missing, f"{path} has no column {missing[:1]}; it has {there}")


def _parquet(path: epath.Path, names: tuple[str, ...], needed: tuple[str, ...]) -> Iterator[Row]:
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as opened:
            file = pq.ParquetFile(opened)
            _check(path, file.schema_arrow.names, needed)
            there = [name for name in names if name in file.schema_arrow.names]
            for batch in file.iter_batches(columns=there):
                yield from batch.to_pylist()
    except pa.ArrowInvalid as error:
        raise RequestError(f"{path} cannot be read as Parquet: {error}") from error


def _json_lines(path: epath.Path, names: tuple[str, ...], needed: tuple[str, ...]) -> Iterator[Row]:
    del names, needed  # each row may have others
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig"))
            except ValueError as error:
                raise RequestError(f"{path}, line {number}: {error}") from error
            require(isinstance(row, dict), f"{path}, line {number}: give an object a line")
            yield row


def _csv(path: epath.Path, names: tuple[str, ...], needed: tuple[str, ...]) -> Iterator[Row]:
    with path.open("rb") as lines:
        text = (line.decode("utf-8-sig") for line in lines)
        try:
            read = csv.DictReader(text, restkey="", strict=True)
            _check(path, [*(read.fieldnames or [])], needed)
            for row in read:
                require(
                    "" not in row and None not in row.values(),
                    f"{path}, line {read.line_num}: it has not the {len(read.fieldnames or [])}"
                    " columns of the header",
                )
                yield {name: _value(path, read, name, row) for name in names if name in row}
        except UnicodeDecodeError as error:
            raise RequestError(f"{path} is no text in UTF-8: {error}") from error
        except csv.Error as error:
            raise RequestError(f"{path} cannot be read as CSV: {error}") from error


def _value(path: epath.Path, read: Any, name: str, row: Mapping[str, str]) -> Any:
    if name == "history":
        return row[name].split()
    if name != "times":
        return row[name]
    try:
        return [int(value) for value in row[name].split()]
    except ValueError as error:
        raise RequestError(
            f"{path}, line {read.line_num}: times is {row[name]!r}; give whole seconds since 1970,"
            " divided by spaces"
        ) from error
