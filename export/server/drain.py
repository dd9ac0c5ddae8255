"""The stop: requests in flight have so many seconds, and then the process exits, whatever runs."""

import asyncio
import faulthandler
import logging
import os
import signal
import sys
import threading
import time

from podway.export.server.options import ServerOptions

log = logging.getLogger(__name__)

_LAST_SECONDS = 2.0
"""Beyond the drain, for what is closed after it."""
_HANGS_SECONDS = 5.0
"""Beyond these, until a process ends whose interpreter does not even run this module."""


class Drain:
    """The time that is left for requests in flight; it begins to run with the first question."""

    def __init__(self, seconds: float):
        self._seconds, self._end = seconds, 0.0

    def left(self) -> float:
        """Seconds."""
        self._end = self._end or time.monotonic() + self._seconds
        return max(0.0, self._end - time.monotonic())


def stop_at_signals(options: ServerOptions) -> asyncio.Event:
    """Set by SIGINT or SIGTERM, after which the process exits in time, whatever it does.

    A second SIGINT ends it at once.
    """
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def begin() -> None:
        if not stop.is_set():
            stop.set()
            exit_in(options.drain_seconds)

    def interrupt() -> None:
        if stop.is_set():
            _exit("interrupted twice: what is in flight is given up")
        begin()

    loop.add_signal_handler(signal.SIGTERM, begin)
    loop.add_signal_handler(signal.SIGINT, interrupt)
    return stop


def exit_in(seconds: float) -> None:
    """Ends the process with status 1, unless it has ended by itself by then."""
    said = (
        f"requests were still in progress after {seconds:g} s (--drain_seconds): they are given up"
    )
    timer = threading.Timer(seconds + _LAST_SECONDS, _exit, (said,))
    timer.daemon = True
    timer.start()
    # Its thread needs no interpreter, which a single long call may hold.
    faulthandler.dump_traceback_later(
        seconds + _LAST_SECONDS + _HANGS_SECONDS, exit=True, file=sys.__stderr__ or sys.stderr
    )


def _exit(why: str) -> None:
    log.error("%s", why)
    logging.shutdown()
    os._exit(1)
