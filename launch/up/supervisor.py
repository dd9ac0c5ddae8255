"""Runs services until it is asked to end: one after the other, and again those that end."""

from __future__ import annotations

import dataclasses
import pathlib
import threading
import time
from collections.abc import Callable, Sequence

from podway.framework import exit_codes
from podway.framework.error import PodwayError
from podway.launch.up.child import Child, Lines
from podway.launch.up.service import Service

_SELF = "up"
_TICK = 0.05


class UpError(PodwayError, RuntimeError):
    """A service does not run; the message says which, and what it said."""


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long it waits.

    Attributes:
      ready: seconds until a service is ready.
      drain: seconds that a service has to end.
      first: seconds before the first start again.
      most: the longest wait before a start again: it doubles each time.
      calm: a service that was ready so many seconds begins with `first` again.
    """

    ready: float = 180.0
    drain: float = 30.0
    first: float = 1.0
    most: float = 30.0
    calm: float = 60.0


class Supervisor:
    """The services, in the order in which they are started: each waits for those before it. They
    end in the opposite order, each after the one that asks it.

    Args:
      services: to run.
      logs: folder of their files.
      patience: how long it waits.
      lines: where lines go; None: stdout.
    """

    def __init__(
        self,
        services: Sequence[Service],
        logs: pathlib.Path,
        patience: Patience = Patience(),
        lines: Lines | None = None,
    ):
        self._services, self._logs, self._patience = services, logs, patience
        self._lines = lines or Lines([_SELF, *(each.name for each in services)])
        self._children: dict[str, Child] = {}
        self._again: dict[str, float] = {}  # when to start it again
        self._pauses: dict[str, float] = {}

    def run(self, asked: threading.Event, up: Callable[[], None]) -> None:
        """Runs them until `asked`; calls `up` when all are ready for the first time.

        Raises UpError: one cannot start, and says that the user must mend something, or is not
        ready in time. In any case none is left running.
        """
        try:
            if all(self._begin(service, asked) for service in self._services):
                up()
                while not asked.wait(_TICK):
                    self._look()
        finally:
            self._end()

    def _begin(self, service: Service, asked: threading.Event) -> bool:
        """Starts one and waits until it is ready; False: the end was asked for meanwhile."""
        self._start(service)
        end = time.monotonic() + self._patience.ready
        while not asked.is_set():
            child = self._children.get(service.name)
            if child is not None and child.ready.is_set():
                self._say(f"{service.name} is ready")
                return True
            if child is not None and child.code() in exit_codes.HOPELESS:
                raise UpError(f"{service.name} does not start: {child.how()}")
            if time.monotonic() > end:
                raise UpError(
                    f"{service.name} is not ready after {self._patience.ready:g} s (no answer at"
                    f" {service.ready}): its lines are in {self._log(service)}"
                )
            self._look()
            asked.wait(_TICK)
        return False

    def _look(self) -> None:
        """Notes who has ended, and starts again whose time has come."""
        now = time.monotonic()
        for service in self._services:
            child = self._children.get(service.name)
            if child is not None and child.code() is not None:
                pause = self._pause(service.name, child, now)
                self._say(f"{service.name} ended, {child.how()}; again in {pause:g} s")
                child.close()
                del self._children[service.name]
                self._again[service.name] = now + pause
            elif service.name in self._again and now >= self._again[service.name]:
                del self._again[service.name]
                self._start(service)

    def _pause(self, name: str, child: Child, now: float) -> float:
        was_calm = child.ready.is_set() and now - child.started > self._patience.calm
        before = 0.0 if was_calm else self._pauses.get(name, 0.0)
        pause = min(max(2 * before, self._patience.first), self._patience.most)
        self._pauses[name] = pause
        return pause

    def _start(self, service: Service) -> None:
        self._children[service.name] = child = Child(service, self._lines, self._log(service))
        self._say(f"{service.name} starts, process {child.pid}")

    def _end(self) -> None:
        for service in reversed(self._services):
            child = self._children.pop(service.name, None)
            if child is None:
                continue
            child.ask()
            if child.end(self._patience.drain):
                self._say(f"{service.name} has ended")
            else:
                self._say(f"{service.name} did not end in {self._patience.drain:g} s: killed")
            child.close()

    def _log(self, service: Service) -> pathlib.Path:
        return self._logs / f"{service.name}.log"

    def _say(self, text: str) -> None:
        self._lines.say(_SELF, text)
