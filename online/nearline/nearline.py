"""The nearline service: polls, applies, commits; in this order, so that a kill loses nothing."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from podway.framework.config.online import Events, Nearline
from podway.online.error import QueueError, StoreError
from podway.online.nearline import lists, read
from podway.online.nearline.apply import Writer
from podway.online.nearline.metrics import Metrics
from podway.online.queue.queue import Consumer, Received
from podway.online.service.page import READY
from podway.online.store.store import Store

_T = TypeVar("_T")
_LOG = logging.getLogger(__name__)
_WAIT = 0.2
"""Seconds of a poll, which returns sooner where there is something."""
_LOOK = 2.0
"""Seconds between two looks at how much waits."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0


class Service:
    """One member of the group; for one thread.

    Args:
      consumer: of the topic of events.
      store: open.
      nearline: what is kept and counted.
      writer: of that store.
      metrics: that it tells.
      events: which ones there are.
      since: seconds since 1970: messages that were published before are passed over.
    """

    def __init__(
        self,
        consumer: Consumer,
        store: Store,
        nearline: Nearline,
        writer: Writer,
        metrics: Metrics,
        events: Events,
        since: float = 0.0,
    ):
        self._consumer, self._store, self._nearline = consumer, store, nearline
        self._writer, self._metrics, self._since = writer, metrics, since
        self._events = events
        self._problem = "has not polled yet"
        self._changed, self._published, self._looked = False, 0.0, 0.0
        self._idle = False

    def problem(self) -> str:
        """Why it is not ready; READY: it is."""
        return self._problem

    def run(self, stop: threading.Event, *, drain: bool = False) -> None:
        """Until it is asked to stop; what it polled by then is applied and committed.

        Args:
          stop: set: it is asked.
          drain: it ends by itself when nothing waits any more.
        """
        while not stop.is_set():
            messages = self._again(stop, lambda: self._consumer.poll(self._nearline.batch, _WAIT))
            if messages:
                self._take(stop, messages)
            if self._changed and self._due():
                self._again(stop, self._publish)
            self._again(stop, self._tell)
            if drain and not messages and self._idle:
                break
        if self._changed:
            try:
                self._publish()
            except StoreError as error:
                _LOG.warning("the last lists are not written: %s", error)

    def _take(self, stop: threading.Event, messages: Sequence[Received]) -> None:
        taken = [message for message in messages if message.published >= self._since]
        found = read.read(taken, self._nearline, self._events)
        applied = self._again(stop, lambda: self._writer.apply(found, time.time()))
        if applied is None:
            return  # not committed, so it comes again
        now = time.time()
        self._again(stop, lambda: self._consumer.commit(messages))
        self._metrics.seconds.observe(max(0.0, now - each.published) for each in taken)
        outcomes = {
            "new": applied.new,
            "repeated": applied.repeated,
            "malformed": found.malformed,
            "skewed": found.skewed,
            "other": found.others,
        }
        for outcome, count in outcomes.items():
            self._metrics.events.labels(outcome).inc(count)
        self._metrics.users.inc(applied.users)
        self._metrics.conflicts.inc(applied.conflicts)
        self._changed = self._changed or bool(applied.new)

    def _due(self) -> bool:
        return time.monotonic() >= self._published + self._nearline.lists_seconds

    def _publish(self) -> None:
        lists.publish(self._store, self._nearline, time.time())
        self._changed, self._published = False, time.monotonic()

    def _tell(self) -> None:
        if time.monotonic() >= self._looked + _LOOK:
            waiting = self._consumer.lag()
            self._metrics.waiting.set(waiting)
            self._looked = time.monotonic()
            self._idle = waiting <= 0

    def _again(self, stop: threading.Event, does: Callable[[], _T]) -> _T | None:
        """Until it is done; None: it failed, and it is asked to stop."""
        pause = _FIRST_PAUSE
        while True:
            try:
                done = does()
            except (StoreError, QueueError) as error:
                if str(error) != self._problem:
                    _LOG.warning("%s; it is tried again", error)
                self._problem = str(error)
                self._metrics.failures.inc()
                if stop.wait(pause):
                    return None
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                self._problem = READY
                return done
