"""Who of the processes of a run is alive and gets on, and what is said when one does not.

Every process tells a sign of life into the key-value store of JAX's coordination service, which
lives in process 0. Process 0 judges them and tells the others, so that the traffic grows with the
number of processes, not with its square. A process that lost another ends itself: a collective
that waits for the dead can't be interrupted.
"""

import dataclasses
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from podway.framework import exit_codes
from podway.framework.exit_codes import LOST, PREEMPTED
from podway.framework.runs.goodput import Clock

WATCHED = ("step", "input", "evaluate", "checkpoint")
"""Phases in which a process must get on. Compiling and reading a checkpoint may take long."""


@dataclasses.dataclass(frozen=True)
class Beat:
    """A process's sign of life.

    Attributes:
      count: of its beats.
      host: name of its machine.
      pid: process id there.
      step: the last step that it dispatched.
      phase: what it does (framework/runs/goodput.py).
      moves: changes of phase so far.
      failure: why it ends, if it does.
      code: its exit code then.
    """

    count: int
    host: str
    pid: int
    step: int = 0
    phase: str = "other"
    moves: int = 0
    failure: str = ""
    code: int = 0


@dataclasses.dataclass(frozen=True)
class Seen:
    """A process, as process 0 knows it.

    Attributes:
      beat: the last one.
      heard: when it came (s, this process's monotonic clock).
      moved: when the process last was seen at something new.
    """

    beat: Beat
    heard: float
    moved: float

    def renewed(self, beat: Beat, now: float) -> "Seen":
        """With what is known by now."""
        same = dataclasses.replace(beat, count=self.beat.count) == self.beat
        return Seen(
            beat,
            self.heard if beat.count == self.beat.count else now,
            self.moved if same else now,
        )


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Why the run can't go on, and the exit code of those who are told.

    Attributes:
      message: names who it is about.
      code: that of the process which ended it, where it holds for all of them; else LOST.
    """

    message: str
    code: int = LOST

    @staticmethod
    def of_end(name: str, why: str, code: int) -> "Verdict":
        """After a process has said why it ends, and with which code."""
        how = "ended" if code == PREEMPTED else "failed"
        shared = code == PREEMPTED or code in exit_codes.HOPELESS
        return Verdict(f"{name} {how}: {why}", code if shared else LOST)


def judge(
    seen: Mapping[int, Seen], now: float, *, silence: float, standstill: float
) -> Verdict | None:
    """What is wrong with the processes, if anything is; it names them.

    Args:
      seen: all processes.
      now: as in Seen.
      silence: seconds after which a process without a sign of life counts as lost.
      standstill: seconds after which processes that all are alive, but don't get on, count as hung.
    """

    def name(process: int) -> str:
        beat = seen[process].beat
        return f"process {process} ({beat.host}, pid {beat.pid})"

    for process, known in sorted(seen.items()):
        if known.beat.failure:
            return Verdict.of_end(name(process), known.beat.failure, known.beat.code)
    silent = [process for process, known in sorted(seen.items()) if now - known.heard > silence]
    if silent:
        return Verdict(
            "; ".join(
                f"{name(process)} is dead or hangs: it was last heard of"
                f" {now - seen[process].heard:.0f} s ago, in phase"
                f" {seen[process].beat.phase!r} after step {seen[process].beat.step}"
                for process in silent
            )
        )
    still = min(now - known.moved for known in seen.values())
    if still <= standstill or all(known.beat.phase not in WATCHED for known in seen.values()):
        return None
    last = min(known.beat.step for known in seen.values())
    behind = [process for process, known in sorted(seen.items()) if known.beat.step == last]
    # Who waits in a step waits for the others.
    behind = [process for process in behind if seen[process].beat.phase != "step"] or behind
    return Verdict(
        "; ".join(
            f"{name(process)} hangs: for {still:.0f} s it has been in phase"
            f" {seen[process].beat.phase!r} after step {last}, and all others wait"
            for process in behind
        )
    )


class Watch:
    """Tells and looks for signs of life in the background, until `stop`.

    Args:
      client: of the coordination service.
      process: number of this process.
      processes: how many there are.
      coordinator: address of process 0, for its name.
      silence: see `judge`.
      standstill: see `judge`.

    Attributes:
      clock: what this process does, which its beats tell.
      silence: as given.
    """

    def __init__(
        self,
        client: Any,
        process: int,
        processes: int,
        coordinator: str,
        *,
        silence: float,
        standstill: float,
    ):
        self.clock = Clock()
        self._client, self._process, self._coordinator = client, process, coordinator
        self.silence, self._standstill = silence, standstill
        self._interval = silence / 5
        self._beat = Beat(0, socket.gethostname(), os.getpid())
        self._lock, self._stopped = threading.Lock(), threading.Event()
        now = self._answered = time.monotonic()
        unknown = Beat(-1, "not heard of yet", 0)
        self._seen = {number: Seen(unknown, now, now) for number in range(processes)}
        self._threads = [
            threading.Thread(target=target, daemon=True) for target in (self._ask, self._guard)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def name(self) -> str:
        """Machine and process id."""
        return f"{self._beat.host}, pid {self._beat.pid}"

    def fail(self, message: str, code: int) -> None:
        """Tells the others why this process ends, and ends it. Does not return."""
        self._stopped.set()
        self._tell(failure=message, code=code)
        if self._process == 0:
            self._publish(Verdict.of_end(f"process 0 ({self.name})", message, code))
        self._leave(message, code)

    def stop(self) -> None:
        """Ends the watch: from here on nobody is missed."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(timeout=self.silence)

    def _tell(self, **changes: Any) -> None:
        with self._lock:
            self._beat = dataclasses.replace(
                self._beat,
                count=self._beat.count + 1,
                step=self.clock.step,
                phase=self.clock.phase,
                moves=self.clock.moves,
                **changes,
            )
            self._client.key_value_set(
                f"podway/beat/{self._process}",
                json.dumps(dataclasses.asdict(self._beat)),
                allow_overwrite=True,
            )

    def _ask(self) -> None:
        """Beats; process 0 judges, the others read what it says."""
        while not self._stopped.wait(self._interval):
            try:
                self._tell()
                verdict = self._judge() if self._process == 0 else self._verdict()
            except Exception as error:
                print(f"podway: the coordination service fails: {error}", file=sys.stderr)
                continue
            self._answered = time.monotonic()
            if verdict and not self._stopped.is_set():
                self._leave(verdict.message, verdict.code)

    def _guard(self) -> None:
        """Notices that process 0 no longer answers; a call to it would just not return."""
        while not self._stopped.wait(self._interval):
            silent = time.monotonic() - self._answered
            if silent > self.silence and self._process != 0:
                beat = f"process 0, the coordinator at {self._coordinator},"
                self._leave(
                    f"{beat} is dead or hangs: it has not answered for {silent:.0f} s", LOST
                )

    def _judge(self) -> Verdict | None:
        now = time.monotonic()
        for key, text in self._client.key_value_dir_get("podway/beat/"):
            number = int(key.rsplit("/", 1)[1])
            self._seen[number] = self._seen[number].renewed(Beat(**json.loads(text)), now)
        verdict = judge(self._seen, now, silence=self.silence, standstill=self._standstill)
        if verdict:
            self._publish(verdict)
        return verdict

    def _publish(self, verdict: Verdict) -> None:
        text = json.dumps(dataclasses.asdict(verdict))
        self._client.key_value_set("podway/verdict", text, allow_overwrite=True)

    def _verdict(self) -> Verdict | None:
        try:
            return Verdict(**json.loads(self._client.key_value_try_get("podway/verdict")))
        except Exception as error:
            if "NOT_FOUND" in str(error):
                return None
            raise

    def _leave(self, message: str, code: int) -> None:
        kind = "" if code == PREEMPTED else "error: "
        print(f"\npodway: {kind}{message}", file=sys.stderr, flush=True)
        if self._process == 0:  # the store goes with this process: let the others read why
            time.sleep(1.5 * self._interval)
        sys.stdout.flush()
        os._exit(code)
