"""A backend that fails is left alone for a while: requests do not wait for what will not come."""

import time
from typing import Literal

from podway.framework.config.online import Guard
from podway.online.gateway.guard.deadline import Clock

State = Literal["closed", "open", "half"]


class Breaker:
    """Of one backend; belongs to one event loop.

        closed ──too many calls fail──▶ open ──open_seconds──▶ half ──one call succeeds──▶ closed
                                          ▲                      │
                                          └──────it fails────────┘

    Args:
      guard: when it opens, and for how long.
      clock: seconds of a clock that never goes back.
    """

    def __init__(self, guard: Guard, clock: Clock = time.monotonic):
        self._guard, self._clock = guard, clock
        self.state: State = "closed"
        self._since = clock()
        self._now, self._before = [0, 0], [0, 0]
        self._window = self._since

    def may(self) -> bool:
        """Whether it may be asked. Who is told so says `done` afterwards, unless it gave up."""
        now = self._clock()
        if self.state == "closed":
            return True
        if now - self._since < self._guard.open_seconds:
            return False
        # One call tries it; if it never says how it went, there is another after as long.
        self.state, self._since = "half", now
        return True

    def done(self, *, failed: bool) -> None:
        """A call has ended."""
        now = self._clock()
        if self.state == "open":
            return  # it began before
        if self.state == "half":
            self.state = "open" if failed else "closed"
            self._since, self._window = now, now
            self._now, self._before = [0, 0], [0, 0]
            return
        self._turn(now)
        self._now[0] += 1
        self._now[1] += failed
        calls = self._now[0] + self._before[0]
        failures = self._now[1] + self._before[1]
        if (
            self.state == "closed"
            and failed
            and calls >= self._guard.calls
            and failures >= self._guard.failures * calls
        ):
            self.state, self._since = "open", now

    def _turn(self, now: float) -> None:
        """Two halves of a window: the older one is forgotten as a whole."""
        half = self._guard.window_seconds / 2
        passed = now - self._window
        if passed >= half:
            self._before = self._now if passed < 2 * half else [0, 0]
            self._now, self._window = [0, 0], now
