"""A call that takes long is asked a second time, and whichever answers first counts.

A quantile of the calls before says what is long (Dean and Barroso, The Tail at Scale, 2013). Second
calls have an allowance, a share of all calls: where all is slow they would only be more load.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from podway.framework.config.online import Guard
from podway.online.gateway.guard.deadline import Clock

_Answer = TypeVar("_Answer")
_FEWEST = 50
"""Calls by which a quantile is known."""
_SAVED = 10.0
"""Second calls that may be saved up."""


class Hedge:
    """Of one backend; belongs to one event loop.

    Args:
      guard: share and quantile.
      clock: seconds of a clock that never goes back.

    Attributes:
      asked: second calls.
      won: that answered first.
    """

    def __init__(self, guard: Guard, clock: Clock = time.monotonic):
        self._guard, self._clock = guard, clock
        self._long, self._calls, self._allowance = 0.0, 0, 0.0
        self.asked, self.won = 0, 0

    def after(self) -> float | None:
        """Seconds after which a second call is due; None: there is none."""
        if self._calls < _FEWEST or self._allowance < 1 or not self._guard.hedge:
            return None
        return self._long

    def took(self, seconds: float) -> None:
        """A first call has answered, or was longer than this.

        The quantile is followed step by step: up by its share where a call was longer, down by the
        rest where it was not, so that it rests where the share is right.
        """
        self._calls += 1
        self._allowance = min(_SAVED, self._allowance + self._guard.hedge)
        step = max(self._long, seconds / 10, 1e-5) * 0.05
        quantile = self._guard.hedge_quantile
        if self._calls <= _FEWEST // 5:
            self._long = max(self._long, seconds)
        elif seconds > self._long:
            self._long += step * quantile
        else:
            self._long = max(0.0, self._long - step * (1 - quantile))

    async def ask(self, call: Callable[[], Coroutine[Any, Any, _Answer]]) -> _Answer:
        """The answer of one call or two. Raises what the call raises, where none answers."""
        start, after = self._clock(), self.after()
        if after is None:
            try:
                return await call()
            finally:
                self.took(self._clock() - start)
        # The first call runs in this task, so that what is not hedged costs a timer and no more;
        # a second one that is quicker cancels its await, as asyncio.timeout does.
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        second: asyncio.Task[_Answer] | None = None
        ended = won = False

        def done(other: asyncio.Task[_Answer]) -> None:
            nonlocal won
            if not ended and not other.cancelled() and other.exception() is None:
                won = True
                task.cancel()

        def again() -> None:
            nonlocal second
            self._allowance -= 1
            self.asked += 1
            second = loop.create_task(call())
            second.add_done_callback(done)

        timer = loop.call_later(after, again)
        try:
            try:
                return await call()
            except asyncio.CancelledError:
                if not won or second is None or task.uncancel() > 0:
                    raise
            except Exception:
                ended = True
                if second is None:
                    raise
            found = await second
            self.won += 1
            return found
        finally:
            ended = True
            timer.cancel()
            self.took(self._clock() - start)
            if second is not None:
                second.cancel()
