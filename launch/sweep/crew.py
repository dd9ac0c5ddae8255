"""The workers of a sweep on this machine: started, watched, started again, asked to end."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

from podway.framework import exit_codes
from podway.framework.error import PodwayError
from podway.launch import stages
from podway.launch.sweep.plan import Plan
from podway.launch.sweep.worker import STORAGE

RESTARTS = 3
"""Times that a worker which has crashed is started again."""
_PAUSE = 0.5
_GRACE = 60.0
"""Seconds that workers have to save once they are asked to end."""
_TAIL = 15
"""Lines of a worker's log that are shown where it fails."""


class SweepError(PodwayError, RuntimeError):
    """A sweep cannot go on; the message says why, and the log that says more."""

    def __init__(self, message: str, code: int = exit_codes.REFUSED):
        super().__init__(message)
        self.exit_code = code if code in exit_codes.ENDINGS else exit_codes.CRASHED


class _Member:
    """A worker's process, which may be started several times."""

    def __init__(self, plan: Plan, number: int, workers: int, deadline: float | None):
        self.number, self.restarts = number, 0
        self.log = pathlib.Path(_local(plan)) / f"worker-{number}.log"
        self._command = [
            *(sys.executable, "-P", "-m", "podway.launch.sweep.worker"),
            *(str(plan.directory), str(number), str(workers)),
            *([] if deadline is None else [str(deadline)]),
        ]
        self._environment = os.environ | {STORAGE: plan.storage}
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is for the command, which asks it to end
            )

    def last_words(self) -> str:
        """The sentence it ended with, or the end of its log."""
        lines = self.log.read_text(errors="replace").splitlines()
        if lines and lines[-1].startswith("{"):
            return json.loads(lines[-1])["error"]
        return "\n".join(lines[-_TAIL:])


def run(plan: Plan, workers: int, deadline: float | None, look: Callable[[], None]) -> None:
    """Runs workers until the sweep's trainings are done.

    Args:
      plan: the sweep, written down.
      workers: how many.
      deadline: when no further trial begins; None: never.
      look: called every instant: says what is new.

    Raises:
      SweepError: a worker was refused something, or crashed again and again.
      Stopped: all workers were asked to end.
    """
    members = [_Member(plan, number, workers, deadline) for number in range(workers)]
    with _asked() as asked:
        try:
            while any(each.process.poll() is None for each in members) and not asked.is_set():
                look()
                asked.wait(_PAUSE)
                if not asked.is_set():
                    _tend(members)
        finally:
            _end(members)
    look()
    if asked.is_set() or all(each.process.returncode == exit_codes.PREEMPTED for each in members):
        raise stages.Stopped("the workers have saved; the same command goes on with what is done")


@contextlib.contextmanager
def _asked() -> Iterator[threading.Event]:
    """Is set at SIGTERM, in a block that ends when the workers have saved, however long that is."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # which alone sees signals
        yield asked
        return
    previous = signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, previous)


def _tend(members: list[_Member]) -> None:
    """Starts again who has crashed or was killed."""
    for each in members:
        code = each.process.poll()
        if code is None or code in (exit_codes.COMPLETE, exit_codes.PREEMPTED):
            continue
        if not exit_codes.ending(code).restart or each.restarts >= RESTARTS:
            raise SweepError(f"{each.last_words()} (log: {each.log})", code)
        each.restarts += 1
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        print(f"sweep: worker {each.number} ended with {how}, and is started again", flush=True)
        each.start()


def _end(members: list[_Member]) -> None:
    """Asks those that run to save and to end, and ends who does not."""
    for each in members:
        if each.process.poll() is None:
            each.process.terminate()
    until = time.monotonic() + _GRACE
    for each in members:
        try:
            each.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            each.process.kill()
            each.process.wait()


def _local(plan: Plan) -> str:
    """Where logs lie: the sweep's folder, or, where that is in a bucket, one of this machine."""
    folder = str(plan.directory)
    if "://" in folder:
        folder = f"{plan.study}-logs"
        pathlib.Path(folder).mkdir(exist_ok=True)
    return folder
