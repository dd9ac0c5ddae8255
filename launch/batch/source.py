"""Whose recommendations are asked for: users of the dataset, or the histories of a file."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from podway.launch.loaded import histories
from podway.launch.loaded.error import RequestError, require
from podway.launch.loaded.histories import Histories, Items
from podway.launch.loaded.users import Users

Part = Callable[[], Histories]
"""Some histories, read when it is called."""


class Source(Protocol):
    """Histories in an order that does not change."""

    @property
    def identity(self) -> Any:
        """What it is of, as a JSON value: another one, other histories."""
        ...

    @property
    def total(self) -> int:
        """How many there are."""
        ...

    @property
    def given(self) -> bool:
        """Whether a client wrote them: those without an item that the model knows get no answer."""
        ...

    def parts(self, size: int) -> Iterator[Part]:
        """All of them, `size` at a time."""
        ...


@dataclasses.dataclass(frozen=True)
class OfUsers:
    """Users of the dataset.

    Attributes:
      users: of the dataset.
      places: those that are asked for, as Users has them.
      targets: whether the test targets count as seen.
    """

    users: Users
    places: np.ndarray
    targets: bool
    given = False

    @property
    def identity(self) -> Any:
        """Who they are, as the dataset is the model's."""
        chosen = hashlib.sha256(self.places.astype("<i8").tobytes()).hexdigest()[:16]
        return {"users": chosen, "targets": self.targets}

    @property
    def total(self) -> int:
        """How many users."""
        return len(self.places)

    def parts(self, size: int) -> Iterator[Part]:
        """See Source."""
        for start in range(0, len(self.places), size):
            yield functools.partial(self.users.read, self.places[start : start + size])


def listed(file: str) -> list[str]:
    """The user ids of a text file, one a line. Raises RequestError."""
    path = pathlib.Path(file)
    require(path.is_file(), f"--users {file}: there is no such file; give all, or a file of ids")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise RequestError(f"--users {file} is no text in UTF-8; give a user id a line") from error
    found = [line for line in lines if line]
    require(bool(found), f"--users {file} is empty; give a user id a line")
    return found


class OfFile:
    """Histories of a file: Parquet, or JSON lines (.jsonl).

    Columns: "history", a list of item ids; where the model reads times, "times", a list of whole
    seconds since 1970; and "user", if they have names.

    Args:
      file: its path.
      items: of the model.
      timed: whether the model reads times.
    """

    given = True

    def __init__(self, file: str, items: Items, *, timed: bool):
        self._path, self._items, self._timed = pathlib.Path(file), items, timed
        require(self._path.is_file(), f"--histories {file}: there is no such file")
        kinds: dict[str, Callable[[], Iterator[Mapping[str, Any]]]] = {
            ".parquet": self._parquet,
            ".jsonl": self._json_lines,
        }
        require(
            self._path.suffix in kinds,
            f"--histories {file}: give a .parquet file, or a .jsonl of one object a line",
        )
        self._rows = kinds[self._path.suffix]

    @property
    def identity(self) -> Any:
        """Its content."""
        with self._path.open("rb") as file:
            return {"file": hashlib.file_digest(file, "sha256").hexdigest()}

    @property
    def total(self) -> int:
        """Its rows."""
        if self._path.suffix == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            try:
                return pq.read_metadata(self._path).num_rows
            except pa.ArrowInvalid as error:
                raise RequestError(f"{self._path} cannot be read as Parquet: {error}") from error
        with self._path.open("rb") as lines:
            return sum(1 for line in lines if line.strip())

    def parts(self, size: int) -> Iterator[Part]:
        """See Source. Raises RequestError with the row that is no history."""
        rows = self._rows()
        for first in itertools.count(0, size):
            found = list(itertools.islice(rows, size))
            if not found:
                return
            yield functools.partial(self._histories, first, found)

    def _histories(self, first: int, rows: list[Mapping[str, Any]]) -> Histories:
        named = "user" in rows[0]
        for number, row in enumerate(rows, first + 1):
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
                [row["history"] for row in rows],
                self._items,
                [row["times"] for row in rows] if self._timed else None,
                timed=self._timed,
                names=[histories.text_of(row["user"], "user") for row in rows] if named else None,
            )
        except RequestError as error:
            raise RequestError(f"{self._path}, rows from {first + 1}: {error}") from error

    def _parquet(self) -> Iterator[Mapping[str, Any]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            file = pq.ParquetFile(self._path)
            wanted = ["history", *["times"] * self._timed]
            missing = [name for name in wanted if name not in file.schema_arrow.names]
            require(
                not missing,
                f"{self._path} has no column {missing[:1]}; it has {file.schema_arrow.names}",
            )
            names = [name for name in (*wanted, "user") if name in file.schema_arrow.names]
            for batch in file.iter_batches(columns=names):
                yield from batch.to_pylist()
        except pa.ArrowInvalid as error:
            raise RequestError(f"{self._path} cannot be read as Parquet: {error}") from error

    def _json_lines(self) -> Iterator[Mapping[str, Any]]:
        with self._path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise RequestError(f"{self._path}, line {number}: {error}") from error
                require(
                    isinstance(row, dict), f"{self._path}, line {number}: give an object a line"
                )
                yield row
