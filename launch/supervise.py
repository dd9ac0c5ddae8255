"""Runs the processes of a training run, and starts them again when one of them fails.

For machines without a scheduler that does so (JobSet, Slurm). One supervisor runs all processes of
this machine, or, with `--process-id`, one of them while the other machines' supervisors run theirs.
"""

import collections
import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from podway.framework import exit_codes
from podway.framework.error import PodwayError
from podway.framework.progress import BARS
from podway.framework.runs import lifetime
from podway.launch import stages

WORKER = "PODWAY_WORKER"
"""Set in the environment of a supervised process."""
CAUSED = (exit_codes.LOST, -signal.SIGABRT)
"""How a process ends that has lost another: by its own watch, or by JAX's."""
ASKED = (exit_codes.PREEMPTED, -signal.SIGTERM)
"""How a process ends that was asked to; the second, where it had not yet begun."""
FOLLOW = 30.0
"""Seconds within which the others have ended after one did as it was asked to: what there was to
save, all had saved together by then."""
TAIL = 40
"""Lines of a process's errors that are kept, to say how it ended."""


class SupervisorError(PodwayError, RuntimeError):
    """The processes failed; the message says which one was first, and how.

    It ends the supervisor as that process ended, so that who watches the supervisor knows as much.
    """

    def __init__(self, message: str, code: int):
        super().__init__(message)
        self.exit_code = code if code in exit_codes.ENDINGS else exit_codes.CRASHED


@dataclasses.dataclass(frozen=True)
class Worker:
    """One process to run.

    Attributes:
      number: of the process in the run.
      command: that starts it.
    """

    number: int
    command: Sequence[str]


@dataclasses.dataclass(frozen=True)
class End:
    """The first failure among the processes.

    Attributes:
      number: of the process.
      code: its exit status, negative for a signal.
      error: the last it wrote about it.
      guilty: whose failure it is: of processes that ended because they lost another, the one that
        did not end.
    """

    number: int
    code: int
    error: str
    guilty: int

    def __str__(self) -> str:
        how = f"exit code {self.code}"
        if self.code < 0:
            how = f"signal {signal.Signals(-self.code).name}"
        return f"process {self.number} ended with {how}: {self.error}"


class Crew:
    """The processes of a run: always the same ones.

    Args:
      make: the list of them, for each start.
    """

    def __init__(self, make: Callable[[], Sequence[Worker]]):
        self._make = make

    def workers(self) -> Sequence[Worker]:
        """Those to start now."""
        return self._make()

    def failed(self, end: End, saved: int) -> str:
        """Takes note of a failure; "", or what is different at the next start, which then does not
        count."""
        del end, saved
        return ""

    def change(self) -> str:
        """Asked while they run: "", or what others to go on with, for which these are to end."""
        return ""


def run(
    crew: Crew,
    *,
    progress: Callable[[], int],
    restarts: int,
    pause: float,
) -> None:
    """Runs the workers until all have ended well; when one fails, stops and restarts all.

    SIGTERM goes on to all of them: they save, and end. Where they were asked to end, but not by way
    of this process, they were preempted: they start again, and that does not count as a restart.

    Args:
      crew: who they are.
      progress: the last step that is saved.
      restarts: starts after a failure with nothing saved since the failure before it; 0: no start
        again of any kind.
      pause: seconds to wait before a restart, so that other machines' processes have ended too.

    Raises:
      Stopped: they ended as they were asked to, and the same command goes on.
      SupervisorError: no restart helped, or none would.
    """
    left, saved = restarts, progress()
    submitted = os.environ.get(lifetime.SUBMITTED) or f"{time.time():.3f}"
    with _asked() as asked:
        while (end := _run_once(crew, asked, submitted)) is not None:
            now = progress()
            preempted = end.code in (*ASKED, *(CAUSED if asked.is_set() else ()))
            if preempted and (asked.is_set() or restarts == 0):
                raise _stopped(now)
            if asked.is_set() or end.code in exit_codes.HOPELESS or restarts == 0:
                raise SupervisorError(f"{end}", end.code)
            left, saved = (restarts, now) if now > saved else (left, saved)
            change = "" if preempted else crew.failed(end, now)
            free = preempted or bool(change)
            if left == 0 and not free:
                raise SupervisorError(
                    f"gave up after {restarts} restarts without progress beyond step {saved};"
                    f" {end}",
                    end.code,
                )
            left -= not free
            _say(
                f"{end}; {change}{'; ' if change else ''}starting again from step {now},"
                f" {left} restarts left without progress"
            )
            if asked.wait(pause):
                raise _stopped(now)


def _stopped(step: int) -> stages.Stopped:
    done = f"saved at step {step}" if step else "there is nothing to save yet"
    return stages.Stopped(f"{done}; the same command {'resumes there' if step else 'starts'}")


class _Asked:
    """Whether this process was asked to end; it asks those whom it runs.

    Attributes:
      processes: that run now.
    """

    def __init__(self):
        self.processes: list[subprocess.Popen[bytes]] = []
        self._event = threading.Event()
        self.is_set, self.wait = self._event.is_set, self._event.wait

    def take(self, *_: object) -> None:
        """Handles SIGTERM."""
        self._event.set()
        for process in self.processes:
            process.terminate()


@contextlib.contextmanager
def _asked() -> Iterator[_Asked]:
    asked = _Asked()
    previous = signal.signal(signal.SIGTERM, asked.take)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, previous)


def _run_once(crew: Crew, asked: _Asked, submitted: str) -> End | None:
    """Runs the workers to their end; the first failure, after which the others were killed.

    Who ends as it was asked to has told the others: they end by themselves.
    """
    processes = dict[int, subprocess.Popen[bytes]]()
    tails = dict[int, _Tail]()
    began, changing = dict[int, float](), False  # when each had ended
    try:
        for worker in crew.workers():
            processes[worker.number] = process = _start(worker, submitted)
            tails[worker.number] = _Tail(process)
            asked.processes = list(processes.values())
        if asked.is_set():  # while they started
            asked.take()
        while True:
            codes = {number: process.poll() for number, process in processes.items()}
            running = any(code is None for code in codes.values())
            ends = {number: code for number, code in codes.items() if code}
            now = time.monotonic()
            began |= {number: now for number in ends if number not in began}
            patience = FOLLOW if asked.is_set() else _patience(ends)
            overdue = ends and now - min(began.values()) > patience
            if not running or overdue:
                break
            if not ends and not asked.is_set() and not changing and (change := crew.change()):
                _say(f"{change}; they save and start again")
                changing = True
                for process in processes.values():
                    process.terminate()
            time.sleep(0.05)
        if not ends:
            return None
        first = min(ends, key=lambda number: (_rank(ends[number]), began[number], number))
        lost = [number for number, code in codes.items() if code is None]
        guilty = lost[0] if lost and ends[first] in CAUSED else first
        return End(first, ends[first], tails[first].error(), guilty)
    finally:
        asked.processes = []
        for process in processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()
        for tail in tails.values():
            tail.join()


def _rank(code: int) -> int:
    """Of several ends the lowest is the cause: a failure, a wish, a loss that either led to."""
    return 1 if code in ASKED else 2 * (code in CAUSED)


def _patience(ends: Mapping[int, int]) -> float:
    """Seconds that the others have, after a process ended, to end by themselves."""
    return (0.0, FOLLOW, 0.5)[min((_rank(code) for code in ends.values()), default=0)]


def _start(worker: Worker, submitted: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        WORKER: str(worker.number),
        lifetime.SUBMITTED: submitted,
        lifetime.STARTED: f"{time.time():.3f}",
    }
    if sys.stderr.isatty():
        environment[BARS] = "1"  # what it writes goes on to this terminal
    return subprocess.Popen(worker.command, env=environment, stderr=subprocess.PIPE)


class _Tail:
    """Passes on what a process writes to its stderr, and keeps the end of it."""

    def __init__(self, process: subprocess.Popen[bytes]):
        assert process.stderr
        self._stream, self._text = process.stderr, collections.deque[str](maxlen=TAIL)
        self._thread = threading.Thread(target=self._pump, daemon=True)
        self._thread.start()

    def _pump(self) -> None:
        rest = b""
        while part := os.read(self._stream.fileno(), 65536):
            sys.stderr.buffer.write(part)
            sys.stderr.flush()
            *lines, rest = (rest + part).replace(b"\r", b"\n").split(b"\n")
            self._text.extend(line.decode(errors="replace") for line in lines if line.strip())
        self._text.append(rest.decode(errors="replace"))
        self._stream.close()

    def join(self) -> None:
        self._thread.join()

    def error(self) -> str:
        """What the process wrote last about its end."""
        self._thread.join(timeout=5)
        lines = list(self._text)
        ours = [line for line in lines if line.startswith("podway: error: ")]
        if ours:
            return ours[-1].removeprefix("podway: error: ")
        fatal = [line for line in lines if "coordination service" in line]
        if fatal:
            return "JAX's coordination service lost a process, mostly number 0, in which it runs"
        errors = [line for line in lines if "Error" in line.partition(":")[0]]
        return errors[-1] if errors else "it said nothing"


def local(processes: int) -> Crew:
    """All processes of a run on this machine."""
    return Crew(lambda: together(range(processes)))


def together(processes: Sequence[int]) -> Sequence[Worker]:
    """Some processes of a run on this machine, which meet at a port that is free at each start."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    cluster = ("--coordinator", address, "--num-processes", str(len(processes)))
    return [
        Worker(number, again(*cluster, "--process-id", str(number)))
        for number in range(len(processes))
    ]


def single(number: int) -> Crew:
    """One process, whose options say all."""
    return Crew(lambda: [Worker(number, again())])


def again(*options: str) -> list[str]:
    """This command, with further options at its end."""
    return [sys.executable, "-m", "podway.launch.cli", *sys.argv[1:], *options]


def in_worker() -> bool:
    """Whether this process is a supervised one."""
    return WORKER in os.environ


@contextlib.contextmanager
def worker() -> Iterator[None]:
    """In a supervised process: it ends with its supervisor."""
    parent = os.getppid()

    def follow() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(exit_codes.LOST)

    threading.Thread(target=follow, daemon=True).start()
    yield


def _say(text: str) -> None:
    print(f"podway: {text}", file=sys.stderr, flush=True)
