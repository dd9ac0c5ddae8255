"""The time between the sessions of a run, by the clock on the wall: what of it counts, and as what.

Who launches a process says in its environment when its run was asked for, and when it got its
machines. From then on the run's life is time that somebody waits for: it counts, whether a process
runs or not. Of a run that nobody launched, but that a user goes on with when they like, the time
between two sessions is theirs.
"""

import dataclasses
import os
import pathlib
import time
from collections.abc import MutableMapping

from podway.framework.error import ConfigError

SUBMITTED, STARTED = "PODWAY_SUBMITTED", "PODWAY_STARTED"
"""Variables of the environment, in seconds since 1970: when the launch was submitted; when this
attempt at it got its machines."""


@dataclasses.dataclass(frozen=True)
class Launch:
    """What is known of how this process came to be.

    Attributes:
      submitted: when the run was asked for (s since 1970); None: nobody said.
      started: when this attempt began.
    """

    submitted: float | None
    started: float

    @staticmethod
    def take(began: float, environment: MutableMapping[str, str] = os.environ) -> "Launch":
        """From the environment, once: what this process trains after a first run waited for that.

        Args:
          began: when the session began, where nothing else is known.
          environment: to take SUBMITTED and STARTED out of.

        Raises ConfigError: they are no times.
        """
        submitted = _seconds(SUBMITTED, environment.pop(SUBMITTED, None))
        started = _seconds(STARTED, environment.pop(STARTED, None))
        if started is None and submitted is not None:
            started = process_start()
        return Launch(submitted, began if started is None else min(started, began))


@dataclasses.dataclass(frozen=True)
class Gap:
    """Seconds before a session, none of them negative however wrong the clocks are.

    Attributes:
      waiting: from the submission to the start of an attempt.
      away: from the last sign of life of the session before, of the same submission.
      outside: from there to the next submission, or to a start that nobody had submitted.
    """

    waiting: float = 0.0
    away: float = 0.0
    outside: float = 0.0

    @staticmethod
    def before(launch: Launch, last: float | None) -> "Gap":
        """What lies between the last sign of life, if there was one, and a launch."""
        submitted, start = launch.submitted, launch.started
        if last is None:
            return Gap(waiting=0.0 if submitted is None else max(0.0, start - submitted))
        whole = max(0.0, start - last)
        if submitted is None:
            return Gap(outside=whole)
        if submitted <= last:
            return Gap(away=whole)
        outside = min(submitted - last, whole)
        return Gap(waiting=whole - outside, outside=outside)


def process_start() -> float | None:
    """When this process was started (s since 1970); None: this system does not say."""
    try:
        text = pathlib.Path("/proc/self/stat").read_text()
        ticks = int(text.rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return None
    return time.time() - max(0.0, age)


def _seconds(name: str, text: str | None) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e11:
        raise ConfigError(f"{name} is {text!r}; give seconds since 1970, as of `date +%s`")
    return value
