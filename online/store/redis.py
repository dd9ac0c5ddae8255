"""The store in Redis or Valkey: one string for each value, which begins with its version.

A packed string takes the least memory for each user of what Redis has (docs/online/store.md).
"""

import contextlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import redis
import redis.backoff
import redis.exceptions
import redis.retry

from podway.online.error import StoreError
from podway.online.store.store import FORMAT, Change, Value, check_format, new_version

_VERSION = struct.Struct("<q")
_ROUND = 1000
"""Keys of one command, so that a large batch holds up nobody else."""

_SET = """
if redis.call('GETRANGE', KEYS[1], 0, 7) ~= ARGV[1] then return 0 end
if ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[2])
else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
"""


class RedisStore:
    """A store in a server's memory.

    Args:
      url: of the server.
      prefix: that keys begin with.
      timeout: seconds for a connection, and for an answer.

    Raises:
      StoreError: the server does not answer, or another format wrote the store.
    """

    def __init__(self, url: str, prefix: str, timeout: float):
        self._prefix = prefix
        self._client: Any = redis.Redis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            # Once more, as a connection that waited may have been closed by the server.
            retry=redis.retry.Retry(redis.backoff.NoBackoff(), 1),
        )
        options = self._client.connection_pool.connection_kwargs
        self._where = options.get("path") or f"{options.get('host')}:{options.get('port')}"
        self._set = self._client.register_script(_SET)
        key = f"{prefix}:format"
        try:
            with self._asked():
                self._client.set(key, FORMAT, nx=True)
                found = self._client.get(key)
            check_format(f"{prefix}:* of {self._where}", int(found))
        except BaseException:
            self.close()
            raise

    def read(self, kind: str, keys: Sequence[str]) -> list[Value | None]:
        """See Store."""
        found: list[Value | None] = []
        for start in range(0, len(keys), _ROUND):
            with self._asked():
                names = [self._key(kind, key) for key in keys[start : start + _ROUND]]
                found += map(_value, self._client.mget(names))
        return found

    def write(self, kind: str, values: Mapping[str, bytes], ttl: float | None = None) -> None:
        """See Store."""
        with self._asked(), self._client.pipeline(transaction=False) as pipeline:
            for key, content in values.items():
                pipeline.set(self._key(kind, key), _content(content), px=_milliseconds(ttl))
            pipeline.execute()

    def compare_and_set(
        self, kind: str, changes: Sequence[Change], ttl: float | None = None
    ) -> list[bool]:
        """See Store. Where a connection broke it may say False of what was written."""
        lasts = _milliseconds(ttl) or ""
        with self._asked(), self._client.pipeline(transaction=False) as pipeline:
            for change in changes:
                version = b"" if change.version is None else _VERSION.pack(change.version)
                arguments = [version, _content(change.content), lasts]
                self._set(keys=[self._key(kind, change.key)], args=arguments, client=pipeline)
            return [done == 1 for done in pipeline.execute()]

    def delete(self, kind: str, keys: Sequence[str]) -> None:
        """See Store."""
        for start in range(0, len(keys), _ROUND):
            with self._asked():
                names = [self._key(kind, key) for key in keys[start : start + _ROUND]]
                self._client.delete(*names)

    def close(self) -> None:
        """See Store."""
        self._client.close()

    def _key(self, kind: str, key: str) -> str:
        return f"{self._prefix}:{kind}:{key}"

    @contextlib.contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except redis.exceptions.RedisError as error:
            said = str(error) or type(error).__name__
            raise StoreError(f"Redis at {self._where} does not answer: {said}") from error


def _value(content: bytes | None) -> Value | None:
    if content is None:
        return None
    return Value(content[_VERSION.size :], _VERSION.unpack_from(content)[0])


def _content(content: bytes) -> bytes:
    return _VERSION.pack(new_version()) + content


def _milliseconds(ttl: float | None) -> int | None:
    return None if ttl is None else max(1, round(ttl * 1000))
