"""The store in a table of PostgreSQL."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, LiteralString, TypeVar, cast

import psycopg
import psycopg_pool
from psycopg import conninfo, sql

from podway.online.error import StoreError
from podway.online.store.store import FORMAT, Change, Value, check_format, new_version

_T = TypeVar("_T")
_MAKE = """
CREATE TABLE IF NOT EXISTS {table} (
  kind text NOT NULL, key text COLLATE "C" NOT NULL, content bytea NOT NULL,
  version bigint NOT NULL, expires timestamptz, PRIMARY KEY (kind, key)
)
"""
_EXPIRY = "CREATE INDEX IF NOT EXISTS {index} ON {table} (expires) WHERE expires IS NOT NULL"
_SAY = "COMMENT ON TABLE {table} IS {format}"
_FORMAT = "SELECT to_regclass(%s) IS NOT NULL, obj_description(to_regclass(%s), 'pg_class')"
# One look at the index for each key: of a large kind the planner would rather read all of it.
_READ = """
SELECT held.key, held.content, held.version FROM unnest(%s::text[]) AS given (key), LATERAL (
  SELECT * FROM {table} AS each WHERE each.kind = %s AND each.key = given.key
    AND (each.expires IS NULL OR each.expires > now()) OFFSET 0
) AS held
"""
_NEW = """
INSERT INTO {table} SELECT %s, key, content, version, now() + %s * interval '1 second'
FROM unnest(%s::text[], %s::bytea[], %s::bigint[]) AS new (key, content, version) ORDER BY key
ON CONFLICT (kind, key) DO UPDATE
SET content = excluded.content, version = excluded.version, expires = excluded.expires
"""
_WHERE_NONE = """
WHERE {name}.expires <= now() RETURNING key
"""
_CHANGE = """
UPDATE {table} SET content = %s, version = %s, expires = now() + %s * interval '1 second'
WHERE kind = %s AND key = %s AND version = %s AND (expires IS NULL OR expires > now())
"""
_DELETE = "DELETE FROM {table} WHERE kind = %s AND key = ANY (%s)"
_SWEEP = """
DELETE FROM {table} WHERE (kind, key) IN (
  SELECT kind, key FROM {table} WHERE expires <= now() LIMIT 1000 FOR UPDATE SKIP LOCKED
)
"""
_SWEEP_SECONDS, _TRIES = 10.0, 5


class PostgresStore:
    """A store in a table.

    Args:
      url: of the database.
      table: its name, made where there is none.
      connections: of this process at most.
      timeout: seconds for a connection, and for an answer.

    Raises:
      StoreError: the server does not answer, or another format wrote the table.
    """

    def __init__(self, url: str, table: str, connections: int, timeout: float):
        name = table.rpartition(".")[2]
        self._names = {
            "table": sql.Identifier(*table.split(".")),
            "name": sql.Identifier(name),
            "index": sql.Identifier(f"{name}_expires"),
            "format": sql.Literal(f"podway {FORMAT}"),
        }
        self._statements: dict[str, bytes] = {}
        self._swept = time.monotonic()
        milliseconds = max(1, round(timeout * 1000))
        options: dict[str, Any] = {
            "connect_timeout": max(2, round(timeout)),  # libpq's least
            "tcp_user_timeout": milliseconds,
            "options": f"-c statement_timeout={milliseconds}",
            "autocommit": True,
        }
        self._pool: Any = psycopg_pool.ConnectionPool(
            url,
            kwargs=options,
            min_size=0,
            max_size=connections,
            timeout=timeout,
            reconnect_timeout=timeout,
            open=True,
        )
        told = conninfo.conninfo_to_dict(url)
        self._where = f"{told.get('host', 'localhost')}, table {table}"
        try:
            # Not by the pool, which would not say why there is no connection.
            with self._told(), psycopg.connect(url, **options) as connection:
                self._make(connection, table)
        except BaseException:
            self.close()
            raise

    def read(self, kind: str, keys: Sequence[str]) -> list[Value | None]:
        """See Store."""
        rows = self._run(lambda c: c.execute(self._sql(_READ), (list(keys), kind)).fetchall())
        found = {key: Value(bytes(content), version) for key, content, version in rows}
        return [found.get(key) for key in keys]

    def write(self, kind: str, values: Mapping[str, bytes], ttl: float | None = None) -> None:
        """See Store."""
        if values:
            new = self._sql(_NEW)
            arguments = (kind, ttl, list(values), list(values.values()), _versions(len(values)))
            self._run(lambda c: c.execute(new, arguments))
            self._sweep()

    def compare_and_set(
        self, kind: str, changes: Sequence[Change], ttl: float | None = None
    ) -> list[bool]:
        """See Store. Where a connection broke it may say False of what was written."""
        new = [change for change in changes if change.version is None]
        old = [change for change in changes if change.version is not None]

        # In one order, so that two writers wait for each other rather than both for ever.
        new.sort(key=lambda each: each.key)
        old.sort(key=lambda each: each.key)

        def change(connection: Any) -> set[str]:
            done = set()
            with connection.transaction(), connection.cursor() as cursor:
                if new:
                    statement = self._sql(_NEW + _WHERE_NONE)
                    rows = cursor.execute(statement, (kind, ttl, *_columns(new))).fetchall()
                    done = {key for (key,) in rows}
                if old:
                    given = [
                        (each.content, new_version(), ttl, kind, each.key, each.version)
                        for each in old
                    ]
                    cursor.executemany(self._sql(_CHANGE), given, returning=True)
                    for each in old:
                        if cursor.rowcount:
                            done.add(each.key)
                        cursor.nextset()
            return done

        done = self._run(change)
        self._sweep()
        return [each.key in done for each in changes]

    def delete(self, kind: str, keys: Sequence[str]) -> None:
        """See Store."""
        self._run(lambda c: c.execute(self._sql(_DELETE), (kind, list(keys))))

    def close(self) -> None:
        """See Store."""
        self._pool.close()

    def _make(self, connection: Any, table: str) -> None:
        with connection.transaction():
            # One at a time: two that make a table at once fail on PostgreSQL's own names of it.
            connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (table,))
            there, said = connection.execute(_FORMAT, (table, table)).fetchone()
            if not there:
                for statement in (_MAKE, _EXPIRY, _SAY):
                    connection.execute(self._sql(statement))
                return
        name, _, number = (said or "").partition(" ")
        if name != "podway" or not number.isdigit():
            raise StoreError(
                f"{self._where} is there, and is no store of Podway's; give another"
                " online.store.table"
            )
        check_format(self._where, int(number))

    def _sweep(self) -> None:
        if time.monotonic() - self._swept > _SWEEP_SECONDS:
            self._swept = time.monotonic()
            self._run(lambda c: c.execute(self._sql(_SWEEP)))

    def _sql(self, statement: str) -> bytes:
        """With the table's name; put together once."""
        if (found := self._statements.get(statement)) is None:
            composed = sql.SQL(cast(LiteralString, statement)).format(**self._names)
            found = self._statements[statement] = composed.as_bytes()
        return found

    def _run(self, does: Callable[[Any], _T]) -> _T:
        """Again where two writers waited for each other, and PostgreSQL ended this one; and where
        connections had been closed, as by a restart of the server."""
        with self._told():
            for left in range(_TRIES - 1, -1, -1):
                connection = None
                try:
                    with self._pool.connection() as connection:
                        return does(connection)
                except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
                    if not left:
                        raise
                except psycopg.OperationalError:
                    if connection is None or not connection.broken or left < _TRIES - 1:
                        raise
                    self._pool.check()
        raise AssertionError("either returned or raised")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.Error, psycopg_pool.PoolTimeout, psycopg_pool.PoolClosed) as error:
            said = (str(error) or type(error).__name__).splitlines()[0]
            raise StoreError(f"PostgreSQL at {self._where} does not answer: {said}") from error


def _versions(count: int) -> list[int]:
    return [new_version() for _ in range(count)]


def _columns(changes: Sequence[Change]) -> tuple[list[str], list[bytes], list[int]]:
    keys, contents = [each.key for each in changes], [each.content for each in changes]
    return keys, contents, _versions(len(changes))
