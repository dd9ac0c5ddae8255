"""Large requests are read, and large answers written, beside the event loop, where others go on.

In one thread, so that one after the other holds Python's interpreter at most; each step of the
work is short, for the limits of a request bound it.
"""

import asyncio
import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from podway.export.server.error import CANCELLED, RequestError

Result = TypeVar("Result")
Check = Callable[[], None]
"""Raises RequestError once nobody waits for the work any more."""


async def run(work: Callable[[Check], Result]) -> Result:
    """What the work returns. It is left out, or ends at its next check, if this is cancelled."""
    left = threading.Event()

    def check() -> None:
        if left.is_set():
            raise RequestError(CANCELLED, "nobody waits for the answer")

    try:
        return await asyncio.get_running_loop().run_in_executor(_thread(), work, check)
    except BaseException:
        left.set()
        raise


def unchecked() -> None:
    """The check of work that is done on the loop: it is over before anybody could leave."""


@functools.cache
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="read")
