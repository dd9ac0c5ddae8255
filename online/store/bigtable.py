"""The store in a table of Bigtable: a row for each value, with one cell.

The cell begins with the value's version and the time when it expires. It always has timestamp 0, so
that writing replaces it, whatever a writer's clock says.
"""

import contextlib
import os
import struct
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any

import google.auth.credentials
from google.api_core import exceptions
from google.cloud import bigtable
from google.cloud.bigtable import column_family, data
from google.cloud.bigtable.data import exceptions as data_exceptions
from google.cloud.bigtable.data import row_filters

from podway.online.error import StoreError
from podway.online.store.store import FORMAT, Change, Value, check_format, new_version

_HEADER = struct.Struct(">qd")  # big-endian, so that a range of bytes is one of versions
_FAMILY, _COLUMN, _SEPARATOR = "v", b"c", "#"
_FORMAT_ROW = b"format"  # no row of a value, which has a separator
_ROUND, _AT_ONCE = 500, 16
_NEVER = float("inf")


class BigtableStore:
    """A store in a table.

    Args:
      project: of Google Cloud.
      instance: of Bigtable.
      table: its id; made where there is none.
      timeout: seconds for an answer.

    Raises:
      StoreError: Bigtable does not answer, or another format wrote the table.
    """

    def __init__(self, project: str, instance: str, table: str, timeout: float):
        self._timeout = timeout
        self._where = f"{instance}/{table}"
        emulated = "BIGTABLE_EMULATOR_HOST" in os.environ
        credentials = google.auth.credentials.AnonymousCredentials() if emulated else None
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Connecting to Bigtable emulator")
            self._client = data.BigtableDataClient(project=project, credentials=credentials)
        self._table: Any = self._client.get_table(instance, table)
        self._threads = futures.ThreadPoolExecutor(_AT_ONCE, "bigtable")
        try:
            with self._told():
                found = self._format()
                if found is None:
                    _make(project, instance, table, credentials, timeout)
                    self._write({_FORMAT_ROW: str(FORMAT).encode()})
                    found = FORMAT
            check_format(self._where, found)
        except BaseException:
            self.close()
            raise

    def read(self, kind: str, keys: Sequence[str]) -> list[Value | None]:
        """See Store."""
        now = time.time()
        found: dict[bytes, Value] = {}
        with self._told():
            for start in range(0, len(keys), _ROUND):
                names = {_row(kind, key) for key in keys[start : start + _ROUND]}
                for name, content in self._cells(names).items():
                    version, expires = _HEADER.unpack_from(content)
                    if expires > now:
                        found[name] = Value(content[_HEADER.size :], version)
        return [found.get(_row(kind, key)) for key in keys]

    def write(self, kind: str, values: Mapping[str, bytes], ttl: float | None = None) -> None:
        """See Store."""
        with self._told():
            items = [(_row(kind, key), _cell(each, ttl)) for key, each in values.items()]
            for start in range(0, len(items), _ROUND):
                self._write(dict(items[start : start + _ROUND]))

    def compare_and_set(
        self, kind: str, changes: Sequence[Change], ttl: float | None = None
    ) -> list[bool]:
        """See Store. A round for each, many at once: Bigtable checks one row in a request."""

        def change(each: Change) -> bool:
            name, content = _row(kind, each.key), _cell(each.content, ttl)
            if each.version is None:
                return self._create(name, content)
            return self._replace(name, content, each.version, time.time())

        with self._told():
            return list(self._threads.map(change, changes))

    def delete(self, kind: str, keys: Sequence[str]) -> None:
        """See Store."""
        gone = [
            data.RowMutationEntry(_row(kind, key), data.DeleteAllFromRow()) for key in set(keys)
        ]
        with self._told():
            for start in range(0, len(gone), _ROUND):
                self._mutate(gone[start : start + _ROUND])

    def close(self) -> None:
        """See Store."""
        self._threads.shutdown()
        self._client.close()

    def _replace(self, name: bytes, content: bytes, version: int, valid: float) -> bool:
        """Writes over the value of a version that expires after a time."""
        return self._table.check_and_mutate_row(
            name,
            _has(version, valid),
            true_case_mutations=_set(content),
            operation_timeout=self._timeout,
        )

    def _create(self, name: bytes, content: bytes) -> bool:
        """Writes where there is nothing."""
        there = self._table.check_and_mutate_row(
            name,
            row_filters.PassAllFilter(True),
            false_case_mutations=_set(content),
            operation_timeout=self._timeout,
        )
        if not there:
            return True
        # What has expired is still there, and may be written over if it is this very value.
        held = self._cells({name}).get(name)
        if held is None:
            return False
        version, expires = _HEADER.unpack_from(held)
        return expires <= time.time() and self._replace(name, content, version, 0.0)

    def _format(self) -> int | None:
        """None: there is no table, or nothing in it."""
        try:
            found = self._cells({_FORMAT_ROW}).get(_FORMAT_ROW)
        except exceptions.NotFound:
            return None
        return None if found is None else int(found)

    def _cells(self, names: set[bytes]) -> dict[bytes, bytes]:
        query = data.ReadRowsQuery(row_keys=sorted(names))
        rows = self._table.read_rows(
            query, operation_timeout=self._timeout, attempt_timeout=self._timeout
        )
        return {row.row_key: row.cells[0].value for row in rows}

    def _write(self, cells: Mapping[bytes, bytes]) -> None:
        self._mutate(
            [data.RowMutationEntry(name, _set(content)) for name, content in cells.items()]
        )

    def _mutate(self, entries: list[data.RowMutationEntry]) -> None:
        self._table.bulk_mutate_rows(
            entries, operation_timeout=self._timeout, attempt_timeout=self._timeout
        )

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (
            exceptions.GoogleAPIError,
            data_exceptions.MutationsExceptionGroup,
            data_exceptions.RetryExceptionGroup,
        ) as error:
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise StoreError(f"Bigtable at {self._where} does not answer: {said}") from error


def _make(project: str, instance: str, table: str, credentials: Any, timeout: float) -> None:
    """Makes the table; somebody else may have, at the same time."""
    client = bigtable.Client(project=project, credentials=credentials, admin=True)
    path = f"projects/{project}/instances/{instance}"
    one = column_family.MaxVersionsGCRule(1).to_pb()
    with contextlib.suppress(exceptions.AlreadyExists):
        client.table_admin_client.create_table(
            request={
                "parent": path,
                "table_id": table,
                "table": {"column_families": {_FAMILY: {"gc_rule": one}}},
            },
            timeout=max(timeout, 10.0),
            retry=None,
        )


def _has(version: int, valid: float) -> row_filters.RowFilter:
    """Cells of a version that expire after a time."""
    first = _HEADER.pack(version, valid)
    after = struct.pack(">q", version + 1)
    return row_filters.ValueRangeFilter(
        start_value=first, end_value=after, inclusive_start=False, inclusive_end=False
    )


def _set(content: bytes) -> data.SetCell:
    return data.SetCell(_FAMILY, _COLUMN, content, timestamp_micros=0)


def _row(kind: str, key: str) -> bytes:
    return f"{kind}{_SEPARATOR}{key}".encode()


def _cell(content: bytes, ttl: float | None) -> bytes:
    return _HEADER.pack(new_version(), _NEVER if ttl is None else time.time() + ttl) + content
