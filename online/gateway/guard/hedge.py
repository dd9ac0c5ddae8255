"""A call that takes long is asked a second time, and whichever answers first counts.

A quantile of the calls before says what is long (Dean and Barroso, The Tail at Scale, 2013). Second
calls have an allowance, a share of all calls: where all is slow they would only be more load.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

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

    async def ask(self, call: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """The answer of one call or two. Raises what the call raises, where none answers."""
        start, after = self._clock(), self.after()
        if after is None:
            try:
                return await call()
            finally:
                self.took(self._clock() - start)
        tasks = {first := asyncio.ensure_future(call())}
        try:
            done, _ = await asyncio.wait(tasks, timeout=after)
            if not done:
                self._allowance -= 1
                self.asked += 1
                tasks.add(asyncio.ensure_future(call()))
            waiting, failed = set(tasks), None
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for each in done:
                    if each.exception() is None:
                        self.won += each is not first
                        return each.result()
                    failed = each.exception()
            assert failed is not None
            raise failed
        finally:
            self.took(self._clock() - start)
            for each in tasks:
                each.cancel()
            for each in tasks:
                if each.done() and not each.cancelled():
                    with contextlib.suppress(BaseException):
                        each.exception()
