"""The account of time of a launch's run, where its workdir can be read from this machine."""

import dataclasses
import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from etils import epath

from podway.framework.page import text
from podway.framework.runs import goodput

PATIENCE = 10.0
"""Seconds that a workdir has to answer. Nobody waits longer for what is beside the point."""
_WORDS = {
    "other": "getting ready",
    "compile": "compiling",
    "input": "waiting for batches",
    "evaluate": "evaluating",
    "checkpoint": "waiting for saves",
    "restart": "lost work and starting again",
    "away": "no machines",
}
"""Phase of goodput.json → what a user reads."""
_SAID, _LEAST = 3, 1.0
"""How many phases are named beside the steps, and from what percentage on."""


@dataclasses.dataclass(frozen=True)
class Launch:
    """What leads to a run.

    Attributes:
      workdir: as its processes name it.
      experiment: the experiment's name.
      submitted: when it was launched, as its processes are told (s since 1970).
    """

    workdir: str
    experiment: str
    submitted: float


@dataclasses.dataclass(frozen=True)
class Account:
    """What goodput.json says of a run.

    Attributes:
      percent: share of the time since its first process began that went into steps that count.
      seconds: that this is the share of.
      waiting: seconds without machines before.
      sessions: times that it began or went on.
      redone: steps that were done again.
      step: that it has come to.
      saved: whether there is a checkpoint of this step.
      rest: percent of the same time that went elsewhere, by phase.
    """

    percent: float
    seconds: float
    waiting: float
    sessions: int
    redone: int
    step: int
    saved: bool
    rest: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def so_far(self) -> str:
        """What is read while it goes on."""
        largest = sorted(self.rest.items(), key=lambda each: -each[1])
        said = [
            f"{_WORDS[phase]} {share:.0f} %" for phase, share in largest[:_SAID] if share >= _LEAST
        ]
        rest = f"; the rest: {', '.join(said)}" if said else ""
        return f"step {self.step:,} so far, {self}{rest}"

    def __str__(self) -> str:
        several = "s" * (self.sessions != 1)
        said = f"goodput {self.percent:.1f} % of {text.span(self.seconds)} in {self.sessions}"
        said += f" session{several}"
        if self.redone:
            said += f"; {self.redone:,} steps were done again"
        if self.waiting >= 1:
            said += f"; {text.span(self.waiting)} of waiting for machines are not in it"
        return said


def of(launch: Launch | None) -> Account | None:
    """The account of a launch's run; None: there is none yet, or it cannot be read from here."""
    return of_all([launch])[0]


def of_all(launches: Sequence[Launch | None]) -> list[Account | None]:
    """Likewise of several, which are asked at once."""
    found: list[Account | None] = [None] * len(launches)

    def ask(at: int, launch: Launch) -> None:
        # Whatever is in the way (no rights, no library, no network, a file of another version) is
        # none of the launch, which goes on without us.
        try:
            found[at] = _find(launch)
        except Exception:
            return

    threads = [
        threading.Thread(target=ask, args=(at, launch), daemon=True)
        for at, launch in enumerate(launches)
        if launch is not None
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PATIENCE
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return list(found)


def _find(launch: Launch) -> Account | None:
    """Of the run that has a session of this launch; of several the one that went on last."""
    found = [record for record in _records(launch) if _last(record, launch.submitted) is not None]
    if not found:
        return None
    return _read(max(found, key=lambda record: _last(record, launch.submitted) or 0.0))


def _records(launch: Launch) -> Iterator[dict[str, Any]]:
    runs = epath.Path(launch.workdir) / "runs" / launch.experiment
    for directory in runs.iterdir() if runs.exists() else ():
        record = goodput.read(directory / goodput.FILE)
        if record is not None:
            yield record


def _last(record: dict[str, Any], submitted: float) -> float | None:
    """The last sign of life of a launch in a run; None: the run is of other launches."""
    times = [
        each.get("alive", each["began"])
        for each in record["history"]
        if math.isclose(each.get("submitted", math.nan), submitted, rel_tol=0, abs_tol=0.5)
    ]
    return max(times, default=None)


def _read(record: dict[str, Any]) -> Account | None:
    seconds = record["seconds"]
    waiting = seconds.get("waiting", 0.0)
    whole = sum(seconds.values()) - waiting
    percent = float(record["goodput_percent"])
    if not (math.isfinite(percent) and math.isfinite(whole)):
        return None
    step = int(record["step"])
    return Account(
        percent=percent,
        seconds=whole,
        waiting=waiting,
        sessions=int(record["sessions"]),
        redone=int(record["steps_redone"]),
        step=step,
        saved=str(step) in record["marks"],
        rest={phase: 100 * seconds.get(phase, 0.0) / (whole or 1.0) for phase in _WORDS},
    )
