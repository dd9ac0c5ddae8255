"""What waits for the queue, published off the path of requests.

A request leaves what it has in a bounded buffer; a thread makes messages of it and publishes them,
many at once. While the queue does not take them they wait; what does not fit is not taken, and
counted. A message that is published again has an event of the same id, so that whoever reads it
knows.
"""

import collections
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from podway.online.queue.queue import Message, Producer

_LOG = logging.getLogger(__name__)
_BATCH = 200
"""Entries that are published at once."""
_TIMEOUT = 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
"""Seconds between two tries while the queue does not answer."""
_PERIOD = 0.2
"""Seconds that entries wait for others: many at once cost the queue a tenth of one by one."""

_Entry = TypeVar("_Entry")


class Publisher(Generic[_Entry]):
    """Thread-safe; `close` it, and what waits is published while there is time.

    Args:
      opening: opens a producer; asked again where it raises.
      topic: of events.
      most: entries that wait.
      messages: of an entry; one of which it raises ValueError or TypeError is dropped.
      published: told of each entry that the queue has.
      count: told of "published" messages and of "dropped" entries.

    Attributes:
      problem: why the queue does not take them; "": it does.
    """

    def __init__(
        self,
        opening: Callable[[], Producer],
        topic: str,
        most: int,
        messages: Callable[[_Entry], list[Message]],
        published: Callable[[_Entry], None] = lambda entry: None,
        count: Callable[[str, int], None] = lambda outcome, number: None,
    ):
        self._opening, self._topic, self._most = opening, topic, most
        self._messages, self._published, self._count = messages, published, count
        self._waiting: collections.deque[_Entry] = collections.deque()
        self._producer: Producer | None = None
        self._ended = threading.Event()
        self._end = 0.0
        self.problem = ""
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"to {topic}")
        self._thread.start()

    def put(self, entries: Sequence[_Entry]) -> bool:
        """Keeps all of them, or none; says which. Returns at once."""
        if len(self._waiting) + len(entries) > self._most:
            self._count("dropped", len(entries))
            return False
        self._waiting.extend(entries)
        return True

    @property
    def waiting(self) -> int:
        """Entries that wait."""
        return len(self._waiting)

    def close(self, seconds: float) -> None:
        """Publishes what waits, as long as that takes at most; the rest is dropped, and counted."""
        self._end = time.monotonic() + seconds
        self._ended.set()
        self._thread.join(seconds + _TIMEOUT + 1)
        if self._waiting:
            _LOG.error("%d entries could not be published", len(self._waiting))
            self._count("dropped", len(self._waiting))
        if self._producer is not None and not self._thread.is_alive():
            self._producer.close()

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            ending = self._ended.is_set()
            if not self._waiting:
                if ending:
                    return
                self._ended.wait(_PERIOD)
                continue
            if not ending and len(self._waiting) < _BATCH:
                self._ended.wait(_PERIOD)
            if ending and time.monotonic() >= self._end:
                return
            batch = [self._waiting[at] for at in range(min(_BATCH, len(self._waiting)))]
            messages = [message for entry in batch for message in self._made(entry)]
            try:
                if self._producer is None:
                    self._producer = self._opening()
                if messages:
                    self._producer.publish(self._topic, messages, _TIMEOUT)
            except Exception as error:  # whatever a client raises: the thread lives on
                if self.problem != str(error):
                    _LOG.error("events wait, as the queue does not take them: %s", error)
                self.problem = str(error) or type(error).__name__
                self._ended.wait(pause) if not ending else time.sleep(_FIRST_PAUSE)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            pause, self.problem = _FIRST_PAUSE, ""
            for entry in batch:
                self._waiting.popleft()
                self._published(entry)
            self._count("published", len(messages))

    def _made(self, entry: _Entry) -> list[Message]:
        """One that cannot be written must not hold up those behind it for ever."""
        try:
            return self._messages(entry)
        except (ValueError, TypeError) as error:
            _LOG.error("an entry cannot be written, and is dropped: %s", error)
            self._count("dropped", 1)
            return []
