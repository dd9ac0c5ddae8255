"""Where the time of a run goes: compiling, steps, input, evaluation, checkpoints, restarts.

Goodput is the share of the steps that count: those whose result is in the final parameters. What
was done after the checkpoint that a later session resumed from is lost, and counts as restart. The
whole is the time since the first process started, that without any process with it, where the run
was launched (framework/runs/lifetime.py); waiting for the first machines stands beside it.
"""

import contextlib
import dataclasses
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from etils import epath

from podway.framework import artifact
from podway.framework.runs.lifetime import Gap, Launch

PHASES: tuple[str, ...] = (
    "other",
    "compile",
    "step",
    "input",
    "evaluate",
    "checkpoint",
    "restart",
    "away",
    "waiting",
)
"""Getting ready; compiling; computing steps; waiting for a batch; evaluating; waiting for a save;
work lost in a crash, together with getting ready again; without any process, after the first one;
without any since a submission."""
_ABSENT = ("away", "waiting")
"""Phases without a process, in which nothing can be lost."""

FILE = "goodput.json"

MARKS = 16
"""Checkpoints whose times are kept."""
HISTORY = 256
"""Sessions that are kept."""

Item = TypeVar("Item")


class Clock:
    """Seconds by phase, of this session; one phase is on at any time.

    Attributes:
      phase: what is going on.
      step: the last step that was dispatched.
      moves: changes of phase so far; that it grows shows that the process gets on.
      began: when the session did (s since 1970).
    """

    def __init__(self, phase: str = "other"):
        self.phase, self.step, self.moves = phase, 0, 0
        self._since, self._seconds = time.perf_counter(), dict.fromkeys(PHASES, 0.0)
        self.began = time.time()

    def enter(self, phase: str) -> str:
        """Goes over to a phase; returns the one that ends."""
        now, ending = time.perf_counter(), self.phase
        self._seconds[ending] += now - self._since
        self.phase, self._since = phase, now
        self.moves += 1
        return ending

    @contextlib.contextmanager
    def on(self, phase: str) -> Iterator[None]:
        """A phase for the time of a block; then the one before goes on."""
        before = self.enter(phase)
        try:
            yield
        finally:
            self.enter(before)

    def waiting(self, items: Iterator[Item], phase: str = "input") -> Iterator[Item]:
        """The items, the waits for which count as `phase`."""
        nothing = object()
        while True:
            with self.on(phase):
                item: Any = next(items, nothing)
            if item is nothing:
                return
            yield item

    def add(self, phase: str, seconds: float) -> None:
        """Time of a phase before this clock was there."""
        self._seconds[phase] += seconds

    def seconds(self) -> dict[str, float]:
        """Seconds in each phase until now."""
        self.enter(self.phase)
        return dict(self._seconds)


@dataclasses.dataclass
class Ledger:
    """goodput.json: the seconds of all sessions of a run, by phase.

    Attributes:
      path: of the file; None: nothing is written.
      clock: of this session.
      sessions: processes (or groups of them) that have worked on the run, with this one.
      steps_redone: steps that were computed again after a crash.
      earlier: seconds of the earlier sessions.
      marks: {step of a checkpoint: seconds when it was saved}.
      history: of each session when it began and was last alive (s since 1970), and the seconds
        before it that count as waiting, as away, and not at all (outside); "submitted" by when its
        launch was, if there was one.
      outside: seconds between sessions that do not count.
    """

    path: epath.Path | None
    clock: Clock
    sessions: int = 1
    steps_redone: int = 0
    earlier: dict[str, float] = dataclasses.field(default_factory=dict)
    marks: dict[int, dict[str, float]] = dataclasses.field(default_factory=dict)
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    outside: float = 0.0

    @staticmethod
    def open(
        path: epath.Path, clock: Clock, start: int, reached: int, launch: Launch | None = None
    ) -> "Ledger":
        """The ledger of a run that begins, or goes on from the checkpoint of step `start`.

        Args:
          path: of goodput.json.
          clock: of this session.
          start: steps done before.
          reached: the last step of which the run has any record.
          launch: how this process came to be; None: as its environment says.
        """
        record, launch = read(path), launch or Launch.take(clock.began)
        history = list((record or {}).get("history", ()))
        unknown = record is not None and not history  # an earlier version's
        gap = Gap() if unknown else Gap.before(launch, history[-1]["alive"] if history else None)
        clock.add("waiting", gap.waiting)
        clock.add("away", gap.away)
        clock.add("other", max(0.0, clock.began - launch.started))
        history.append({"began": launch.started, **dataclasses.asdict(gap)})
        if launch.submitted is not None:
            history[-1]["submitted"] = launch.submitted
        if record is None:
            return Ledger(path, clock, history=history)
        marks = {int(step): seconds for step, seconds in record["marks"].items()}
        marks = {step: seconds for step, seconds in marks.items() if step <= start}
        kept = dict.fromkeys(PHASES, 0.0) | (marks[max(marks)] if marks else {})
        kept |= {phase: record["seconds"].get(phase, 0.0) for phase in _ABSENT}
        lost = sum(record["seconds"].values()) - sum(kept.values())
        return Ledger(
            path,
            clock,
            sessions=record["sessions"] + 1,
            steps_redone=record["steps_redone"] + max(record["step"] - start, reached - start, 0),
            earlier=kept | {"restart": kept["restart"] + lost},
            marks=marks,
            history=history,
            outside=record.get("outside_seconds", 0.0) + gap.outside,
        )

    def seconds(self) -> dict[str, float]:
        """Seconds by phase over all sessions."""
        now = self.clock.seconds()
        if self.sessions > 1:
            now |= {"restart": now["restart"] + now["other"], "other": 0.0}
        return {phase: self.earlier.get(phase, 0.0) + now[phase] for phase in PHASES}

    def write(self, step: int, *, saved: bool = False) -> None:
        """Writes the file; `saved`: a checkpoint of this step has been begun."""
        if self.path is None:
            return
        seconds = self.seconds()
        if saved:
            latest = sorted(self.marks)[-MARKS + 1 :]
            self.marks = {at: self.marks[at] for at in latest} | {step: seconds}
        self.history[-1:] = [{**each, "alive": time.time()} for each in self.history[-1:]]
        record = {
            "goodput_percent": percent(seconds),
            "seconds": seconds,
            "outside_seconds": self.outside,
            "sessions": self.sessions,
            "steps_redone": self.steps_redone,
            "step": step,
            "marks": self.marks,
            "history": self.history[-HISTORY:],
        }
        artifact.write_atomically(self.path, json.dumps(record, indent=1))


def percent(seconds: Mapping[str, float]) -> float:
    """Share of the time since the first process started that went into steps that count."""
    whole = sum(spent for phase, spent in seconds.items() if phase != "waiting")
    return 100 * seconds["step"] / (whole or 1.0)


def read(path: epath.PathLike) -> dict[str, Any] | None:
    """What goodput.json says, or None where there is none."""
    path = epath.Path(path)
    return json.loads(path.read_text()) if path.exists() else None
