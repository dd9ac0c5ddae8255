"""The file of the embedded queue: its tables, and connections to it."""

import contextlib
import pathlib
import sqlite3
import threading
from collections.abc import Iterator
from typing import Any

from podway.online.error import QueueError

VERSION = 1
_SLICE = 512
"""Rows at a time that become columns: fewer than make Python look for garbage."""
_TABLES = """
CREATE TABLE topic (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL
);
CREATE TABLE head (
  topic INTEGER, partition INTEGER, next INTEGER NOT NULL, PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
CREATE TABLE message (
  topic INTEGER, partition INTEGER, offset INTEGER, published REAL NOT NULL, key TEXT NOT NULL,
  headers TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (topic, partition, offset)
) WITHOUT ROWID;
CREATE TABLE progress (
  topic INTEGER, team TEXT, partition INTEGER, next INTEGER NOT NULL, owner TEXT,
  PRIMARY KEY (topic, team, partition)
) WITHOUT ROWID;
CREATE TABLE failed (
  topic INTEGER, team TEXT, partition INTEGER, offset INTEGER, deliveries INTEGER NOT NULL,
  gone INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (topic, team, partition, offset)
) WITHOUT ROWID;
CREATE TABLE member (
  name TEXT PRIMARY KEY, topic INTEGER NOT NULL, team TEXT NOT NULL, seen REAL NOT NULL
) WITHOUT ROWID;
"""


class File:
    """A connection to the file; may be used from several threads, one at a time."""

    def __init__(self, path: pathlib.Path, durable: bool, timeout: float):
        self.path = path
        self._lock = threading.RLock()
        with self._told():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=timeout, isolation_level=None, check_same_thread=False
            )
            self.run("PRAGMA journal_mode = WAL")
            self.run(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        self._make()

    def _make(self) -> None:
        with self.written():
            (version,) = self.row("PRAGMA user_version")
            if version == 0:
                for statement in _TABLES.split(";"):
                    self.run(statement)
                self.run(f"PRAGMA user_version = {VERSION}")
            elif version != VERSION:
                raise QueueError(
                    f"{self.path} is a queue of version {version}, and this Podway knows {VERSION}:"
                    " use the Podway that made it, or give queue.path another file"
                )

    @contextlib.contextmanager
    def written(self) -> Iterator[None]:
        """A transaction that writes: all of the block or nothing."""
        with self._lock, self._told():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def run(self, statement: str, values: tuple | dict[str, Any] = ()) -> int:
        """Runs a statement; the number of rows that it changed."""
        with self._lock, self._told():
            return self._connection.execute(statement, values).rowcount

    def many(self, statement: str, rows: list[tuple]) -> None:
        """Runs a statement for each row."""
        with self._lock, self._told():
            self._connection.executemany(statement, rows)

    def rows(self, statement: str, values: tuple | dict[str, Any] = ()) -> list[Any]:
        """What a statement finds."""
        with self._lock, self._told():
            return self._connection.execute(statement, values).fetchall()

    def columns(self, statement: str, values: tuple, count: int) -> list[list[Any]]:
        """What a statement finds, as its columns, of which there are `count`."""
        found: list[list[Any]] = [[] for _ in range(count)]
        with self._lock, self._told():
            cursor = self._connection.execute(statement, values)
            while rows := cursor.fetchmany(_SLICE):
                for column, more in zip(found, zip(*rows, strict=True), strict=True):
                    column.extend(more)
        return found

    def row(self, statement: str, values: tuple | dict[str, Any] = ()) -> Any:
        """The first row that it finds, or None."""
        return next(iter(self.rows(statement, values)), None)

    def close(self) -> None:
        """Closes the connection."""
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            hint = (
                "it is in use by others for too long: give the queue fewer writers, or"
                " queue.publish_seconds more"
                if "locked" in str(error)
                else "give queue.path a file that this process may write, of a queue or new"
            )
            raise QueueError(f"queue {self.path}: {error}; {hint}") from error


def topic(file: File, name: str) -> tuple[int, int]:
    """Number and partitions of a topic. Raises QueueError: there is none."""
    if (found := file.row("SELECT id, partitions FROM topic WHERE name = ?", (name,))) is None:
        known = ", ".join(sorted(name for (name,) in file.rows("SELECT name FROM topic")))
        raise QueueError(
            f"queue {file.path} has no topic {name!r} (it has {known or 'none'}): create it first"
        )
    return found
