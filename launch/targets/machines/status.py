"""What a launch on machines is doing, in plain words, from what each host says."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from podway.framework import exit_codes
from podway.launch.targets.error import LaunchError
from podway.launch.targets.machines.launch import Process


@dataclasses.dataclass(frozen=True)
class Seen:
    """A process, as its host says.

    Attributes:
      process: which.
      answer: of the agent's `look`; None: the host was not reached.
      error: why it was not.
    """

    process: Process
    answer: dict[str, Any] | None
    error: str = ""

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.answer is not None and self.answer["alive"]

    @property
    def record(self) -> dict[str, Any]:
        """What it wrote down last; {}: it never was there."""
        return (self.answer or {}).get("state") or {}

    @property
    def state(self) -> str:
        """One of:

        - "unreachable", "absent" (it never was there)
        - "running", "stopping"
        - "complete", "failed", "stopped" (it was asked to)
        - "lost": it was killed, or its machine was, or was shut down.
        """
        if self.answer is None:
            return "unreachable"
        if not self.record:
            return "absent"
        if self.alive:
            return "stopping" if self.answer["stop"] else "running"
        if self.record["state"] in ("running", "preempted"):
            return "stopped" if self.answer["stop"] else "lost"
        return self.record["state"]


@dataclasses.dataclass(frozen=True)
class Status:
    """Of a launch, at one moment.

    Attributes:
      phase: "absent", "running", "stopping", "complete", "failed", "stopped", "lost" (nothing runs,
        and nobody asked for that) or "unreachable" (nobody knows).
      stage: which part of it: "data", "train" or "export"; "" before the first and at the end.
      lines: what is to be said of it, the most important first.
      running: processes that run.
      wanted: all of them.
    """

    phase: str
    stage: str
    lines: tuple[str, ...]
    running: int = 0
    wanted: int = 0

    @property
    def over(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.phase in ("complete", "failed", "stopped")

    def __str__(self) -> str:
        where = f", {self.stage}" if self.stage else ""
        count = f": {self.running} of {self.wanted} processes run" if self.running else ""
        return f"{self.phase}{where}{count}"


def of(seen: Sequence[Seen]) -> Status:
    """The status of a launch, from all its processes, in their order."""
    states = [each.state for each in seen]
    first = seen[0]
    running = sum(each.alive for each in seen)
    stage = first.record.get("stage", "") if states[0] != "complete" else ""
    lines = tuple(dict.fromkeys([*_failures(seen), *_lost(seen, stage), *_unreachable(seen)]))
    return Status(_phase(states), stage, lines, running, _wanted(seen, stage))


def _phase(states: list[str]) -> str:
    if states[0] == "complete":
        return "complete"
    for phase in ("stopping", "running"):
        if phase in states:
            return phase
    if "failed" in states:
        return "failed"
    if set(states) <= {"absent", "unreachable"}:
        return "absent" if states[0] == "absent" else "unreachable"
    for phase in ("unreachable", "stopped"):
        if phase in states:
            return phase
    return "lost"


def _wanted(seen: Sequence[Seen], stage: str) -> int:
    """Processes that should run: at the end the first alone."""
    return 1 if stage == "export" else len(seen)


def _failures(seen: Sequence[Seen]) -> list[str]:
    """How processes ended that failed: the cause first, those that only lost another after it."""
    found = []
    for each in seen:
        if each.state == "failed":
            code = each.record.get("code", exit_codes.CRASHED)
            meaning = exit_codes.ending(code).meaning
            said = each.record.get("said", "")
            line = f"{each.process} ended with {code} ({meaning})" + (f": {said}" if said else "")
            found.append((code == exit_codes.LOST, each.process.number, line))
    return [line for *_, line in sorted(found)]


def _lost(seen: Sequence[Seen], stage: str) -> list[str]:
    found = []
    for each in seen:
        if each.state == "lost" and is_needed(each, stage):
            how = "was told to end by its machine"
            if each.record["state"] == "running":
                how = "is gone: it was killed, or its machine was restarted"
            found.append(f"{each.process} {how}")
    return found


def is_needed(each: Seen, stage: str) -> bool:
    """Whether the launch waits for a process, in this stage of the first one."""
    return each.process.number == 0 or stage != "export"


def _unreachable(seen: Sequence[Seen]) -> list[str]:
    return [each.error for each in seen if each.answer is None]


def seen(process: Process, answer: dict[str, Any] | LaunchError) -> Seen:
    """A process by the agent's answer, or by why there is none."""
    if isinstance(answer, LaunchError):
        return Seen(process, None, str(answer))
    return Seen(process, answer)
