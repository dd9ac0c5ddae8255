"""The processes below a server's first one: their CPU time, and their end. Reads Linux's /proc."""

import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
from collections.abc import Iterator

TICK = 1 / os.sysconf("SC_CLK_TCK")
"""Seconds of what /proc counts CPU time in."""
_PARENT, _USER, _SYSTEM = 1, 11, 12
"""Places in /proc/PID/stat behind the process's name."""


@dataclasses.dataclass(frozen=True)
class Stat:
    """A process: its number, its parent's, and the seconds of CPU that it has used."""

    pid: int
    parent: int
    cpu: float

    @classmethod
    def of(cls, pid: int, text: str) -> "Stat":
        """Reads /proc/PID/stat; the name, in brackets, may hold anything."""
        fields = text.rpartition(")")[2].split()
        return cls(pid, int(fields[_PARENT]), (int(fields[_USER]) + int(fields[_SYSTEM])) * TICK)


def below(root: int, stats: list[Stat]) -> list[Stat]:
    """The process and all that it has begun, by whatever way."""
    found, seen = [stat for stat in stats if stat.pid == root], {root}
    while new := [stat for stat in stats if stat.parent in seen and stat.pid not in seen]:
        found += new
        seen |= {stat.pid for stat in new}
    return found


def tree(root: int) -> list[Stat]:
    """The process and all below it, as they are now."""
    stats = []
    for folder in pathlib.Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                stats.append(Stat.of(int(folder.name), (folder / "stat").read_text()))
    return below(root, stats)


def cpu_seconds(root: int) -> float:
    """User's and system's time of the process and all below it."""
    return sum(stat.cpu for stat in tree(root))


@contextlib.contextmanager
def running(command: list[str], **options) -> Iterator[subprocess.Popen]:
    """Runs a command with the block, and ends it and all that it has begun."""
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        others = [stat.pid for stat in tree(process.pid) if stat.pid != process.pid]
        wake(process.pid)  # else it could not hear
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        for pid in (process.pid, *others):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def woken(root: int) -> Iterator[None]:
    """Lets a server run that `pause` has stopped, while the block runs."""
    wake(root)
    try:
        yield
    finally:
        pause(root)


def wake(root: int) -> None:
    """Lets a server run again."""
    _signal(root, signal.SIGCONT)


def pause(root: int) -> None:
    """Stops a server, so that it takes nothing from another that is measured."""
    _signal(root, signal.SIGSTOP)


def _signal(root: int, number: int) -> None:
    for stat in tree(root):
        with contextlib.suppress(ProcessLookupError):
            os.kill(stat.pid, number)
