"""What was shown to whom, published to the topic of events, off the path of requests.

A request leaves its answer in a bounded buffer; a thread makes events of it and publishes them.
While the queue does not take them they wait; what no longer fits is dropped, and counted. An event
that is published again has the same id, so that whoever reads it knows.
"""

import collections
import dataclasses
import hashlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from podway.online.events.event import Event, encode
from podway.online.gateway.answer import Answer
from podway.online.gateway.memory import Memory
from podway.online.queue.queue import Message, Producer

_LOG = logging.getLogger(__name__)
IMPRESSION, EXPOSURE = "impression", "exposure"
_BATCH = 200
"""Answers that are published at once."""
_TIMEOUT = 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
"""Seconds between two tries while the queue does not answer."""
_PERIOD = 0.2
"""Seconds that events wait for others: many at once cost the queue a tenth of one by one."""
_EXPOSED = 65_536


@dataclasses.dataclass(frozen=True)
class Shown:
    """An answer, to whom, and when."""

    user: str
    segment: str
    device: str
    answer: Answer
    time: float


class Publisher:
    """Thread-safe; `close` it, and what waits is published while there is time.

    Args:
      opening: opens a producer; asked again where it raises.
      topic: of events.
      most: answers that wait.
      count: told of "published" and "dropped" events.

    Attributes:
      problem: why the queue does not take them; "": it does.
    """

    def __init__(
        self,
        opening: Callable[[], Producer],
        topic: str,
        most: int,
        count: Callable[[str, int], None] = lambda outcome, number: None,
    ):
        self._opening, self._topic, self._most, self._count = opening, topic, most, count
        self._waiting: collections.deque[Shown] = collections.deque()
        self._exposed = Memory[tuple[str, str, str, int], bool](_EXPOSED, 86_400.0)
        self._producer: Producer | None = None
        self._wake, self._ended = threading.Event(), threading.Event()
        self._end = 0.0
        self.problem = ""
        self._thread = threading.Thread(target=self._run, daemon=True, name="impressions")
        self._thread.start()

    def put(self, shown: Shown) -> None:
        """Keeps it; returns at once."""
        if len(self._waiting) >= self._most:
            self._count("dropped", 1)
            return
        self._waiting.append(shown)

    @property
    def waiting(self) -> int:
        """Answers that wait."""
        return len(self._waiting)

    def close(self, seconds: float) -> None:
        """Publishes what waits, as long as that takes at most; the rest is dropped, and counted."""
        self._end = time.monotonic() + seconds
        self._ended.set()
        self._thread.join(seconds + _TIMEOUT + 1)
        if self._waiting:
            _LOG.error("%d answers' impressions could not be published", len(self._waiting))
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
            most = min(_BATCH, len(self._waiting))
            batch = [self._waiting[at] for at in range(most)]
            try:
                if self._producer is None:
                    self._producer = self._opening()
                messages = [each for shown in batch for each in self._messages(shown)]
                self._producer.publish(self._topic, messages, _TIMEOUT)
            except Exception as error:  # whatever a client raises: the thread lives on
                if self.problem != str(error):
                    _LOG.error("impressions wait, as the queue does not take them: %s", error)
                self.problem = str(error) or type(error).__name__
                self._ended.wait(pause) if not ending else time.sleep(_FIRST_PAUSE)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            pause, self.problem = _FIRST_PAUSE, ""
            for shown in batch:
                self._waiting.popleft()
                for trial, arm in shown.answer.trials.items():
                    self._exposed.put((trial, arm, shown.user, _day(shown.time)), True)
            self._count("published", len(messages))

    def _messages(self, shown: Shown) -> list[Message]:
        """Of one answer: what was shown, and the arms that the user saw first today."""
        key = shown.user or shown.answer.id
        events = [impression(shown)]
        for trial, arm in shown.answer.trials.items():
            if not self._exposed.get((trial, arm, shown.user, _day(shown.time))):
                events.append(exposure(shown, trial, arm))
        return [Message(key, encode(each)) for each in events]


def impression(shown: Shown) -> Event:
    """The event of an answer: all of its items, in their order."""
    answer = shown.answer
    fields: dict[str, Any] = {
        "request": answer.id,
        "items": [each.item for each in answer.items],
        "reasons": [each.reason for each in answer.items],
        "source": answer.source,
        "model": answer.model,
        "model_version": answer.version,
        "arm": answer.arm,
        "trials": dict(answer.trials),
    }
    for name in ("segment", "device"):
        if getattr(shown, name):
            fields[name] = getattr(shown, name)
    return Event(IMPRESSION, shown.user, "", shown.time, id=answer.id, fields=fields)


def exposure(shown: Shown, trial: str, arm: str) -> Event:
    """The event of a user who saw what an arm does: one a day, by whichever process."""
    told = f"{trial}\0{arm}\0{shown.user}\0{_day(shown.time)}".encode()
    return Event(
        EXPOSURE,
        shown.user,
        "",
        shown.time,
        id=hashlib.blake2b(told, digest_size=16).hexdigest(),
        fields={"trial": trial, "arm": arm},
    )


def _day(seconds: float) -> int:
    return int(seconds // 86_400)
