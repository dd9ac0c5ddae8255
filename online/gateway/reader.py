"""The store, asked by the gateway: off the event loop, in rounds, with a deadline and a breaker.

Reads that come while others are under way wait for a thread and go as one round, so that the cost
of a round is shared where there is much to do, and nobody waits where there is not.

A store in a file of this machine answers within tens of microseconds, where the way to a thread and
back takes hundreds: it is read in the event loop, unless it was slow a moment ago.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from podway.framework.config.online import Guard
from podway.online.error import StoreError
from podway.online.gateway.guard.breaker import Breaker
from podway.online.store.store import Store, Value

_LOG = logging.getLogger(__name__)
_THREADS = 4
_SLOW, _AFTERWARDS = 0.02, 10.0
"""Seconds of two reads in a row after which the event loop reads no more itself, and for how long.
One alone says nothing: on a machine that is busy any read waits for a processor now and then."""

_Read = tuple[str, Sequence[str], "asyncio.Future[list[Value | None]]"]


class Reader:
    """Reads of one store; belongs to one event loop.

    Args:
      opening: opens the store. It is asked again where it raises: a gateway starts without a store.
      guard: when it is left alone.
      whole: seconds that a read has if its request is in no hurry.
      is_file: whether the store is a file of this machine.
    """

    def __init__(
        self, opening: Callable[[], Store], guard: Guard, whole: float, *, is_file: bool = False
    ):
        self._is_file, self._threads_until, self._was_slow = is_file, 0.0, False
        self._opening, self._whole = opening, whole
        self._store: Store | None = None
        self._one = threading.Lock()
        self.breaker = Breaker(guard)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="store")
        self._waiting: list[_Read] = []
        self._under_way = 0
        self._due = False

    async def read(self, kind: str, keys: Sequence[str], seconds: float) -> list[Value | None]:
        """As `Store.read`. Raises StoreError: not in time, not at all, or it is left alone."""
        if not keys:
            return []
        if seconds <= 0:
            raise StoreError("no time is left to read the store")
        if not self.breaker.may():
            raise StoreError("the store has failed too often lately; tried again soon")
        if self._is_file and self._store is not None and time.monotonic() >= self._threads_until:
            return self._directly(self._store, kind, keys)
        loop = asyncio.get_running_loop()
        read: _Read = (kind, keys, loop.create_future())
        self._waiting.append(read)
        if not self._due:
            self._due = True
            loop.call_soon(self._send)
        try:
            async with asyncio.timeout(seconds):
                found = await read[2]
        except TimeoutError:
            self.breaker.done(failed=seconds >= 0.9 * self._whole)
            raise StoreError(f"the store did not answer in {seconds:.3f} s") from None
        except StoreError:
            self.breaker.done(failed=True)
            raise
        self.breaker.done(failed=False)
        return found

    def _directly(self, store: Store, kind: str, keys: Sequence[str]) -> list[Value | None]:
        start, failed = time.monotonic(), True
        try:
            found = store.read(kind, keys)
            failed = False
            return found
        except StoreError:
            raise
        except Exception as error:
            raise _failed(error) from error
        finally:
            end = time.monotonic()
            self.breaker.done(failed=failed)
            slow = end - start > _SLOW
            if slow and self._was_slow:
                self._threads_until = end + _AFTERWARDS
            self._was_slow = slow

    def close(self) -> None:
        """Does not wait for what hangs."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._store is not None and not self._under_way:
            self._store.close()

    def open(self) -> Store:
        """The store, opened at its first use. Raises what `opening` raises."""
        if self._store is None:
            with self._one:
                if self._store is None:
                    self._store = self._opening()
        return self._store

    def _send(self) -> None:
        self._due = False
        waiting = [read for read in self._waiting if not read[2].done()]
        self._waiting = []
        if not waiting:
            return
        if self._under_way >= _THREADS:
            self._waiting = waiting
            return
        self._under_way += 1
        try:
            task = asyncio.get_running_loop().run_in_executor(self._pool, self._round, waiting)
        except RuntimeError:  # the pool is closed
            self._under_way -= 1
            return
        task.add_done_callback(lambda done: self._back(waiting, done))

    def _round(self, reads: Sequence[_Read]) -> list[list[Value | None]]:
        """All of them, one round for each kind."""
        store = self.open()
        keys: dict[str, dict[str, None]] = {}
        for kind, wanted, _ in reads:
            keys.setdefault(kind, {}).update(dict.fromkeys(wanted))
        found = {
            kind: dict(zip(each, store.read(kind, list(each)), strict=True))
            for kind, each in keys.items()
        }
        return [[found[kind][key] for key in wanted] for kind, wanted, _ in reads]

    def _back(
        self, reads: Sequence[_Read], done: "asyncio.Future[list[list[Value | None]]]"
    ) -> None:
        self._under_way -= 1
        if done.cancelled():
            return
        error = done.exception()
        if error is not None and not isinstance(error, StoreError):
            error = _failed(error)
        for at, (_, _, future) in enumerate(reads):
            if future.done():
                continue
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(done.result()[at])
        if self._waiting and not self._due:
            self._send()


def _failed(error: BaseException) -> StoreError:
    """A client's own error is as good a reason to do without the store."""
    _LOG.error("the store failed: %s: %s", type(error).__name__, error)
    return StoreError(f"the store failed: {type(error).__name__}: {error}")
