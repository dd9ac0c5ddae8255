"""The time of one request, and what of it each hop may take."""

import time
from collections.abc import Callable

Clock = Callable[[], float]


class Deadline:
    """When an answer is due.

    Args:
      seconds: from now on.
      clock: seconds of a clock that never goes back.

    Attributes:
      seconds: as given.
    """

    __slots__ = ("_clock", "_end", "seconds")

    def __init__(self, seconds: float, clock: Clock = time.monotonic):
        self.seconds, self._clock = seconds, clock
        self._end = clock() + seconds

    def left(self) -> float:
        """Seconds until then; 0 when it has passed."""
        return max(0.0, self._end - self._clock())

    def hop(self, share: float) -> float:
        """Seconds for a hop whose share this is. What earlier hops left over is not its own: it is
        kept for what follows, down to the fallbacks."""
        return min(self.seconds * share, self.left())
