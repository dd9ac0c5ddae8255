"""A process that is watched: its lines behind its name, in a file too; what it said last."""

from __future__ import annotations

import collections
import contextlib
import ctypes
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from typing import TextIO

from podway.launch.up.service import Service

_PR_SET_PDEATHSIG = 1
"""Of Linux's prctl: the signal that a process gets when its parent is gone."""
_TAIL = 40
_EVERY = 0.25
"""Seconds between two looks whether it is ready."""
_COLOURS = (36, 33, 32, 35, 34, 31)


class Lines:
    """What goes to the terminal, whole lines, from several processes.

    Args:
      names: of the services: for the width of the names, and for colours.
      file: a terminal, or anything else; None: stdout.
    """

    def __init__(self, names: list[str], file: TextIO | None = None):
        self._file = file or sys.stdout
        self._width = max(map(len, names), default=2)
        self._colour = self._file.isatty()
        self._names, self._lock = names, threading.Lock()

    def say(self, name: str, text: str) -> None:
        """One line of a service, or of the supervisor itself."""
        head = f"{name:<{self._width}} |"
        if self._colour and name in self._names:
            colour = _COLOURS[self._names.index(name) % len(_COLOURS)]
            head = f"\x1b[{colour}m{head}\x1b[0m"
        # Where nobody reads any more, the services go on, and are ended as asked.
        with self._lock, contextlib.suppress(BrokenPipeError, ValueError):
            print(f"{head} {text}", file=self._file, flush=True)

    def text(self, text: str) -> None:
        """Lines without a name."""
        with self._lock:
            print(text, file=self._file, flush=True)


class Child:
    """A service that was started. Start it in the main thread: it ends with the thread that did.

    Args:
      service: what to start.
      lines: where its lines go.
      log: file that its lines are appended to.

    Attributes:
      ready: set once it says that it is.
      started: when, by the monotonic clock.
    """

    def __init__(self, service: Service, lines: Lines, log: pathlib.Path):
        self.service, self.ready = service, threading.Event()
        self._lines, self._tail = lines, collections.deque[str](maxlen=_TAIL)
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log.open("ab")
        self.started = time.monotonic()
        self._process = subprocess.Popen(
            service.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is ours: they end in order, not all at once
            preexec_fn=_end_with_parent,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        self._pump = threading.Thread(target=self._read, daemon=True)
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._pump.start()
        self._watch.start()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def code(self) -> int | None:
        """How it ended: its exit status, negative for a signal; None: it runs."""
        return self._process.poll()

    def how(self) -> str:
        """How it ended, in words, with what it said last of an error."""
        code = self._process.wait()
        self._pump.join(timeout=5)
        text = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        errors = [line for line in self._tail if "error" in line.lower()]
        said = (errors or list(self._tail))[-1:]
        return f"{text}{f': {said[0]}' if said else ''}"

    def ask(self) -> None:
        """Asks it to end: SIGTERM."""
        self._signal(signal.SIGTERM)

    def end(self, seconds: float) -> bool:
        """Waits until it has ended, and ends it after so long; whether it did so by itself."""
        try:
            self._process.wait(seconds)
            return True
        except subprocess.TimeoutExpired:
            self.kill()
            return False

    def kill(self) -> None:
        """Ends it and what it started, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """Frees what belongs to a process that has ended."""
        self._pump.join(timeout=5)
        self._watch.join(timeout=5)
        self._log.close()

    def _signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for raw in self._process.stdout:
            text = raw.decode(errors="replace").rstrip("\r\n")
            self._tail.append(text)
            if not self._log.closed:
                self._log.write(raw)
                self._log.flush()
            self._lines.say(self.service.name, text)

    def _look(self) -> None:
        while self._process.poll() is None and not self.service.is_ready():
            time.sleep(_EVERY)
        if self._process.poll() is None:
            self.ready.set()


try:
    _PRCTL = ctypes.CDLL(None).prctl
except (OSError, AttributeError):  # not Linux: then they stay when the supervisor is killed
    _PRCTL = None


def _end_with_parent() -> None:
    """In the child, before it becomes the service."""
    if _PRCTL is not None:
        _PRCTL(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
