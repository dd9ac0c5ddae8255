"""The store in this process's memory, for tests: gone with it."""

import threading
import time
from collections.abc import Mapping, Sequence

from podway.online.error import StoreError
from podway.online.store.store import Change, Value, new_version


class MemoryStore:
    """A store that no other process sees."""

    def __init__(self):
        self._values: dict[tuple[str, str], tuple[Value, float]] = {}
        self._lock = threading.Lock()
        self._closed = False

    def read(self, kind: str, keys: Sequence[str]) -> list[Value | None]:
        """See Store."""
        with self._lock:
            return [self._get(kind, key) for key in keys]

    def write(self, kind: str, values: Mapping[str, bytes], ttl: float | None = None) -> None:
        """See Store."""
        with self._lock:
            self._check()
            for key, content in values.items():
                self._put(kind, key, content, ttl)

    def compare_and_set(
        self, kind: str, changes: Sequence[Change], ttl: float | None = None
    ) -> list[bool]:
        """See Store."""
        done = []
        with self._lock:
            for change in changes:
                before = self._get(kind, change.key)
                done.append((before.version if before else None) == change.version)
                if done[-1]:
                    self._put(kind, change.key, change.content, ttl)
        return done

    def delete(self, kind: str, keys: Sequence[str]) -> None:
        """See Store."""
        with self._lock:
            self._check()
            for key in keys:
                self._values.pop((kind, key), None)

    def close(self) -> None:
        """See Store."""
        self._closed = True

    def _check(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")

    def _get(self, kind: str, key: str) -> Value | None:
        self._check()
        value, expires = self._values.get((kind, key), (None, 0.0))
        return value if expires > time.monotonic() else None

    def _put(self, kind: str, key: str, content: bytes, ttl: float | None) -> None:
        expires = float("inf") if ttl is None else time.monotonic() + ttl
        self._values[kind, key] = Value(bytes(content), new_version()), expires
