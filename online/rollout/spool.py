"""Where clients leave what they see, for whoever judges it: a file for each process, in one folder.

A request never waits: what it saw goes to a bounded queue in memory, and a thread adds it up and
appends a line for each arm about five times a second. Nobody else writes to that file, so that any
number of processes need no lock; a line that a kill cut short has no end, and is not read. What is
lost is what a killed process had seen in its last fifth of a second, and what did not fit into the
queue, which is counted.
"""

import collections
import contextlib
import dataclasses
import json
import os
import pathlib
import socket
import threading
import uuid
from collections.abc import Mapping

from podway.online.error import OnlineError
from podway.online.rollout import observation
from podway.online.rollout.observation import Observation, Tally, Value

PERIOD = 0.2
"""Seconds between two writes."""
_QUEUE = 100_000
"""Observations that wait in memory at most."""


class Spool:
    """This process's part of a rollout's folder. Thread-safe; `close` it, and all is written.

    Args:
      folder: the rollout's, on a disk of this machine or one that is shared.

    Attributes:
      path: of the file.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        if "://" in os.fspath(folder):
            raise OnlineError(
                f"observations cannot be appended to {folder}; give a folder on a disk that this"
                " process and `podway rollout` share (--observations)"
            )
        name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"
        self.path = pathlib.Path(folder) / name
        self._waiting = collections.deque[Observation | Value]()
        self._full: collections.Counter[str] = collections.Counter()
        self._ended = threading.Event()
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True, name="observations")
        self._thread.start()

    def put(self, seen: Observation | Value) -> None:
        """Keeps what was seen; returns at once."""
        if len(self._waiting) >= _QUEUE:
            self._full[seen.arm] += 1
            return
        self._waiting.append(seen)

    def close(self) -> None:
        """Writes what is left, and ends."""
        self._ended.set()
        self._thread.join()
        self.write()

    def write(self) -> None:
        """Writes what is there now. Raises OSError; then it is kept, and written the next time."""
        with self._writing:
            tallies = collections.defaultdict[str, Tally](Tally)
            taken = []
            while self._waiting:
                taken.append(seen := self._waiting.popleft())
                tallies[seen.arm].add(seen)
            full, self._full = self._full, collections.Counter()
            for arm, lost in full.items():
                tallies[arm].lost += lost
            if not tallies:
                return
            line = json.dumps({arm: each.json() for arm, each in tallies.items()}) + "\n"
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                _append(self.path, line)
            except OSError:
                self._waiting.extendleft(reversed(taken))
                self._full.update(full)
                raise

    def _run(self) -> None:
        while not self._ended.wait(PERIOD):
            with contextlib.suppress(OSError):  # a full disk may have room later
                self.write()


def _append(path: pathlib.Path, line: str) -> None:
    """Appends a line, or nothing at all."""
    content = line.encode()
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o664)
    try:
        before = os.fstat(handle).st_size
        if os.write(handle, content) != len(content):
            os.ftruncate(handle, before)
            raise OSError(f"{path} could not be written whole")
    finally:
        os.close(handle)


@dataclasses.dataclass(frozen=True)
class Read:
    """What was new in a folder.

    Attributes:
      tallies: by arm.
      offsets: file → where its next line begins.
    """

    tallies: Mapping[str, Tally]
    offsets: Mapping[str, int]


def read(folder: str | os.PathLike[str], offsets: Mapping[str, int]) -> Read:
    """The lines of a folder's files behind the offsets. Raises OnlineError: a line is none."""
    home, found = pathlib.Path(folder), dict(offsets)
    lines = collections.defaultdict[str, list[Tally]](list)
    for path in sorted(home.glob("*.jsonl")) if home.is_dir() else ():
        with path.open("rb") as file:
            begin = file.seek(found.get(path.name, 0))
            whole, newline, _ = file.read().rpartition(b"\n")
        for line in whole.split(b"\n") if newline else ():
            try:
                for arm, content in json.loads(line).items():
                    lines[arm].append(observation.tally(content))
            except (ValueError, TypeError, AttributeError) as error:
                raise OnlineError(
                    f"{path} holds a line that is no observation, {line[:60]!r}: {error}; move the"
                    " file away"
                ) from error
        found[path.name] = begin + len(whole) + len(newline)
    return Read({arm: observation.total(each) for arm, each in lines.items()}, found)
