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
import traceback
from collections.abc import Callable, Iterator, Sequence

from podway.framework.error import PodwayError
from podway.framework.progress import BARS
from podway.launch import stages

WORKER = "PODWAY_WORKER"
"""Set in the environment of a supervised process."""
REFUSED = (1, 2)
"""Exit codes of what the user must mend: a restart would end the same way."""
CRASHED, LOST = 70, 75
"""Exit codes after an unexpected error, and when another process was lost (heartbeat.py)."""
CAUSED = (LOST, -signal.SIGABRT)
"""How a process ends that has lost another: by its own watch, or by JAX's."""
TAIL = 40
"""Lines of a process's errors that are kept, to say how it ended."""


class SupervisorError(PodwayError, RuntimeError):
    """The processes failed; the message says which one was first, and how."""


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
    """

    number: int
    code: int
    error: str

    def __str__(self) -> str:
        how = f"exit code {self.code}"
        if self.code < 0:
            how = f"signal {signal.Signals(-self.code).name}"
        return f"process {self.number} ended with {how}: {self.error}"


def run(
    workers: Callable[[], Sequence[Worker]],
    *,
    progress: Callable[[], int],
    restarts: int,
    pause: float,
) -> None:
    """Runs the workers until all have ended well; when one fails, stops and restarts all.

    SIGTERM goes on to all of them: they save, and end well.

    Args:
      workers: makes the list of them, for each start.
      progress: the last step that is saved.
      restarts: starts after a failure with nothing saved since the failure before it.
      pause: seconds to wait before a restart, so that other machines' processes have ended too.

    Raises:
      SupervisorError: no restart helped, or none would.
    """
    asked = threading.Event()
    left, saved = restarts, progress()
    while (end := _run_once(workers(), asked)) is not None:
        if asked.is_set() and end.code == -signal.SIGTERM:
            return  # it had not begun
        if asked.is_set() or end.code in REFUSED or restarts == 0:
            raise SupervisorError(f"{end}")
        now = progress()
        left, saved = (restarts, now) if now > saved else (left, saved)
        if left == 0:
            raise SupervisorError(
                f"gave up after {restarts} restarts without progress beyond step {saved}; {end}"
            )
        left -= 1
        _say(f"{end}; starting again from step {now}, {left} restarts left without progress")
        if asked.wait(pause):
            raise SupervisorError(f"{end}")


def _run_once(workers: Sequence[Worker], asked: threading.Event) -> End | None:
    """Runs the workers to their end; the first failure, after which the others were killed."""
    processes = {worker.number: _start(worker) for worker in workers}
    tails = {number: _Tail(process) for number, process in processes.items()}

    def forward(*_: object) -> None:
        asked.set()
        for process in processes.values():
            process.terminate()

    previous, late = signal.signal(signal.SIGTERM, forward), False
    try:
        while True:
            codes = {number: process.poll() for number, process in processes.items()}
            failed = [number for number, code in codes.items() if code]
            if failed and not late and all(codes[number] in CAUSED for number in failed):
                late = True  # the one whose loss they say has mostly ended, too
                time.sleep(0.5)
                continue
            if failed:
                first = min(failed, key=lambda number: (codes[number] in CAUSED, number))
                return End(first, codes[first] or 0, tails[first].error())
            if all(code == 0 for code in codes.values()):
                return None
            time.sleep(0.05)
    finally:
        for process in processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()
        for tail in tails.values():
            tail.join()
        signal.signal(signal.SIGTERM, previous)


def _start(worker: Worker) -> subprocess.Popen[bytes]:
    environment = os.environ | {WORKER: str(worker.number)}
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


def local(processes: int) -> Callable[[], Sequence[Worker]]:
    """All processes of a run on this machine, which meet at a port that is free at each start."""

    def workers() -> Sequence[Worker]:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            address = f"localhost:{free.getsockname()[1]}"
        return [
            Worker(number, again("--coordinator", address, "--process-id", str(number)))
            for number in range(processes)
        ]

    return workers


def single(number: int) -> Callable[[], Sequence[Worker]]:
    """One process, whose options say all."""
    return lambda: [Worker(number, again())]


def again(*options: str) -> list[str]:
    """This command, with further options at its end."""
    return [sys.executable, "-m", "podway.launch.cli", *sys.argv[1:], *options]


def in_worker() -> bool:
    """Whether this process is a supervised one."""
    return WORKER in os.environ


@contextlib.contextmanager
def worker() -> Iterator[None]:
    """In a supervised process: it ends with its supervisor, and its exit code tells why."""
    parent = os.getppid()

    def follow() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(LOST)

    threading.Thread(target=follow, daemon=True).start()
    try:
        yield
    except (PodwayError, stages.Stopped):
        raise
    except Exception:
        traceback.print_exc()
        sys.exit(CRASHED)


def _say(text: str) -> None:
    print(f"podway: {text}", file=sys.stderr, flush=True)
