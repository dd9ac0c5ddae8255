"""SIGTERM: what is going on ends soon, as after Ctrl-C, where it has no better way to end.

A handler must be there: without one, process 1 of a container ignores the signal. Python runs it in
the main thread, once that is back from native code, where a compilation may keep it for minutes. So
a thread of its own sees the signal, too, and ends the process where the main thread has not.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from podway.framework import exit_codes

GRACE = 8.0
"""Seconds that the main thread has for its end. Pods on spot machines have 15 in all."""

_last_words: list[Callable[[], None]] = []


class Terminated(KeyboardInterrupt):
    """SIGTERM came. Whoever ends in good order at Ctrl-C does so now."""

    exit_code = exit_codes.PREEMPTED


@contextlib.contextmanager
def ending(grace: float = GRACE) -> Iterator[None]:
    """SIGTERM raises Terminated in the block, once, and ends the process if that takes too long.

    Who sets a handler of its own inside of the block (the training loop, a server) ends when it
    likes. Outside of the main thread nothing is done, as only that can.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came, lost, ended = threading.Event(), threading.Event(), threading.Event()

    def handle(*_: Any) -> None:
        if not came.is_set():
            came.set()
            raise Terminated

    def ignored(error: Any) -> None:
        """What comes up in a callback of the garbage collector, say, goes nowhere."""
        if isinstance(error.exc_value, Terminated):
            lost.set()
        else:
            hook(error)

    def again() -> None:
        """Sends what was lost."""
        if lost.is_set():
            lost.clear()
            came.clear()
            signal.pthread_kill(main, signal.SIGTERM)

    reader, writer = socket.socketpair()
    writer.setblocking(False)
    previous = signal.signal(signal.SIGTERM, handle)
    wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    hook, sys.unraisablehook = sys.unraisablehook, ignored
    main = threading.get_ident()
    arguments = (reader, handle, again, ended, grace)
    watch = threading.Thread(target=_watch, args=arguments, daemon=True)
    watch.start()
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGTERM, previous)
        sys.unraisablehook = hook
        writer.close()
        watch.join()
        reader.close()


@contextlib.contextmanager
def last_words(say: Callable[[], None]) -> Iterator[None]:
    """Calls `say` before the process is ended in the block, from another thread."""
    _last_words.append(say)
    try:
        yield
    finally:
        _last_words.remove(say)


def _watch(
    reader: socket.socket,
    handle: Callable[..., None],
    again: Callable[[], None],
    ended: threading.Event,
    grace: float,
) -> None:
    """Python's C handler writes the number of each signal, whatever the main thread does."""
    while numbers := reader.recv(64):
        if signal.SIGTERM in numbers and signal.getsignal(signal.SIGTERM) is handle:
            break
    else:
        return
    until = time.monotonic() + grace
    while time.monotonic() < until:
        if ended.wait(min(grace, 0.2)):
            return
        again()
    for say in reversed(_last_words):
        say()
    with contextlib.suppress(Exception):
        print("podway: ended at SIGTERM, in the middle of its work", file=sys.stderr, flush=True)
        sys.stdout.flush()
    os._exit(exit_codes.PREEMPTED)
