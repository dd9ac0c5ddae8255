"""The store in a file: SQLite with a write-ahead log. Many processes of one machine share it; one
writes at a time, and none waits to read."""

import contextlib
import json
import pathlib
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence

from podway.online.error import StoreError
from podway.online.store.store import FORMAT, Change, Value, check_format, new_versions

_TABLES = """
CREATE TABLE IF NOT EXISTS value (
  kind TEXT NOT NULL, key TEXT NOT NULL, content BLOB NOT NULL, version INTEGER NOT NULL,
  expires REAL, PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS expiry ON value (expires) WHERE expires IS NOT NULL;
"""
_READ = """
SELECT key, content, version FROM value
WHERE kind = ? AND key IN (SELECT value FROM json_each(?)) AND (expires IS NULL OR expires > ?)
"""
_READ_ONE = """
SELECT content, version FROM value
WHERE kind = ? AND key = ? AND (expires IS NULL OR expires > ?)
"""
_WRITE = """
INSERT INTO value VALUES (?, ?, ?, ?, ?) ON CONFLICT (kind, key) DO UPDATE
SET content = excluded.content, version = excluded.version, expires = excluded.expires
"""
_CACHE_KIB, _LOG_PAGES = 32_768, 8_192
_SWEEP_SECONDS, _SWEPT = 10.0, 1000
"""How often a writer removes what has expired, and how many values at most."""


class SqliteStore:
    """A store in a file.

    Args:
      path: of the file, made where there is none.
      timeout: seconds that a writer waits for another one at most.

    Raises:
      StoreError: it cannot be opened, or another format wrote it.
    """

    def __init__(self, path: str, timeout: float = 5.0):
        self._path, self._timeout = path, timeout
        self._own = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closed = False
        self._swept = time.monotonic()
        try:
            pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"the store {path} cannot be made: {error.strerror}; give another online.store.path"
            ) from error
        with self._connected() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        with self._writing() as connection:
            (found,) = connection.execute("PRAGMA user_version").fetchone()
            if found:
                check_format(path, found)
            else:
                for statement in _TABLES.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {FORMAT}")

    def read(self, kind: str, keys: Sequence[str]) -> list[Value | None]:
        """See Store."""
        with self._connected() as connection:
            if len(keys) == 1:  # a user's history: most of all reads
                row = connection.execute(_READ_ONE, (kind, keys[0], time.time())).fetchone()
                return [None if row is None else Value(*row)]
            rows = connection.execute(_READ, (kind, json.dumps(keys), time.time())).fetchall()
        found = {key: Value(content, version) for key, content, version in rows}
        return [found.get(key) for key in keys]

    def write(self, kind: str, values: Mapping[str, bytes], ttl: float | None = None) -> None:
        """See Store."""
        with self._writing() as connection:
            self._put(connection, kind, list(values.items()), ttl)

    def compare_and_set(
        self, kind: str, changes: Sequence[Change], ttl: float | None = None
    ) -> list[bool]:
        """See Store."""
        keys = json.dumps([change.key for change in changes])
        with self._writing() as connection:
            rows = connection.execute(_READ, (kind, keys, time.time())).fetchall()
            versions = {key: version for key, _, version in rows}
            done = [versions.get(change.key) == change.version for change in changes]
            wanted = [(c.key, c.content) for c, ok in zip(changes, done, strict=True) if ok]
            self._put(connection, kind, wanted, ttl)
        return done

    def delete(self, kind: str, keys: Sequence[str]) -> None:
        """See Store."""
        with self._writing() as connection:
            connection.execute(
                "DELETE FROM value WHERE kind = ? AND key IN (SELECT value FROM json_each(?))",
                (kind, json.dumps(keys)),
            )

    def close(self) -> None:
        """See Store."""
        with self._lock:
            self._closed = True
            for connection in self._all:
                connection.close()
            self._all.clear()

    def _put(
        self,
        connection: sqlite3.Connection,
        kind: str,
        values: Sequence[tuple[str, bytes]],
        ttl: float | None,
    ) -> None:
        if not values:
            return
        now = time.time()
        expires = None if ttl is None else now + ttl
        connection.executemany(
            _WRITE,
            [
                (kind, key, value, version, expires)
                for (key, value), version in zip(values, new_versions(len(values)), strict=True)
            ],
        )
        if time.monotonic() - self._swept > _SWEEP_SECONDS:
            self._swept = time.monotonic()
            connection.execute(
                "DELETE FROM value WHERE (kind, key) IN (SELECT kind, key FROM value"
                " WHERE expires <= ? LIMIT ?)",
                (now, _SWEPT),
            )

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that nobody else writes beside."""
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """This thread's connection. Raises StoreError for what goes wrong with it."""
        try:
            connection = getattr(self._own, "connection", None)
            if connection is None or self._closed:
                connection = self._own.connection = self._opened()
            yield connection
        except sqlite3.Error as error:
            raise StoreError(f"the store {self._path} does not answer: {error}") from error

    def _opened(self) -> sqlite3.Connection:
        with self._lock:
            if self._closed:
                raise StoreError(f"the store {self._path} is closed")
            connection = sqlite3.connect(
                self._path, self._timeout, isolation_level=None, check_same_thread=False
            )
            self._all.append(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        # A batch of histories is some megabytes: more than SQLite keeps in memory of its own, and
        # than it lets wait in the log.
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
        return connection
