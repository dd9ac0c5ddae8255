"""One trainer at a run: who has it, and for how long others believe that.

The lock is a small file beside the run, which its holder renews while it trains. On the same
machine a process that is gone has nothing; of another machine nobody can tell, so who comes later
looks on for EXPIRES seconds whether the lock is renewed. No clock is compared with another one's,
unless the difference is too large for a wrong clock.
"""

import contextlib
import dataclasses
import datetime
import getpass
import json
import os
import pathlib
import random
import socket
import threading
import time
import uuid
from collections.abc import Iterator

from etils import epath

from podway.framework import artifact, exit_codes
from podway.framework.error import PodwayError

RENEWED = 10.0
"""Seconds between two renewals."""
EXPIRES = 60.0
"""Seconds without one after which a lock of another machine is free."""
LONG_AGO = 3600.0
"""Seconds after which it is free at once, however wrong the clocks are."""


class LockedError(PodwayError, RuntimeError):
    """Somebody else trains this run; the message says who, where and since when.

    Where that is a process which a scheduler has given up, but which lives, another try may help.
    """

    exit_code = exit_codes.LOST


@dataclasses.dataclass(frozen=True)
class Holder:
    """Who has a lock.

    Attributes:
      token: of this taking of the lock, and no other.
      user: name of the user.
      host: name of the machine.
      pid: process id there.
      machine: tells apart machines, their restarts, and containers, whose process ids differ.
      started: tells the process apart from a later one of the same id.
      since: when it took the lock (UTC, ISO 8601).
      renewed: when it renewed it last.
    """

    token: str
    user: str
    host: str
    pid: int
    machine: str
    started: str
    since: str
    renewed: str

    @staticmethod
    def here() -> "Holder":
        """This process."""
        now = _now()
        return Holder(
            token=uuid.uuid4().hex,
            user=_user(),
            host=socket.gethostname(),
            pid=os.getpid(),
            machine=_machine(),
            started=_started(os.getpid()) or "",
            since=now,
            renewed=now,
        )

    @staticmethod
    def read(text: str) -> "Holder | None":
        """Who wrote this text; None where nobody can tell."""
        try:
            return Holder(**json.loads(text))
        except (ValueError, TypeError):
            return None

    @property
    def is_gone(self) -> bool:
        """Whether it was a process of this machine, and has ended; False where nobody can tell."""
        if self.machine != _machine() or not self.started:
            return False
        return _started(self.pid) not in (self.started, "")

    def text(self) -> str:
        """As it stands in the file."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    def __str__(self) -> str:
        return f"{self.user} on {self.host} (process {self.pid}) since {self.since}"


class Lock:
    """A run's lock, which this process has; made by `hold`.

    Attributes:
      path: of the file.
    """

    def __init__(self, path: epath.Path, doing: str = "trained"):
        self.path, self._doing = path, doing
        self._mine = Holder.here()
        self._lost: str | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def check(self) -> None:
        """Raises LockedError where another process has taken the lock meanwhile."""
        if self._lost is not None:
            holder = Holder.read(self._lost)
            raise LockedError(
                f"this process has lost its lock {self.path}, which expires after {EXPIRES:.0f} s"
                f" without a sign of life; the run goes on with {holder or 'somebody else'}"
            )

    def take(self, run: epath.Path, patience: float = 0.0) -> None:
        """Takes the lock, perhaps after a wait.

        Raises LockedError: somebody else has it, or one after the other for `patience` seconds.
        """
        seen: str | None = None
        start = since = time.monotonic()
        while (
            found := self._try(seen if time.monotonic() >= since + EXPIRES else None)
        ) is not None:
            holder = Holder.read(found)
            lives = seen not in (None, found) or (holder and holder.machine == self._mine.machine)
            if lives and time.monotonic() >= start + patience:
                raise LockedError(
                    f"{run} is being {self._doing} by {holder or 'another process'}; wait for it,"
                    f" or end it first ({self.path})"
                )
            if seen is None and not lives and not patience:
                print(
                    f"{run} was being {self._doing} by {holder or 'another process'}, on another"
                    f" machine; waiting up to {EXPIRES:.0f} s to see whether it still is",
                    flush=True,
                )
            if seen != found:
                seen, since = found, time.monotonic()
            # Who waits for a turn tries more often, and not in step with the others.
            time.sleep(random.uniform(0.05, 0.3) if patience else min(1.0, EXPIRES / 10))
        self._thread.start()

    def release(self) -> None:
        """Gives it back, if it is still ours."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=EXPIRES)
        with contextlib.suppress(OSError):  # it expires
            artifact.exchange(self.path, lambda text: "" if self._is_mine(text) else None)
            if "://" not in str(self.path):
                os.rmdir(self.path.parent)  # fails unless nothing was made in it
                os.rmdir(self.path.parent.parent)

    def _try(self, dead: str | None) -> str | None:
        """Takes the lock if nobody has it, or who wrote `dead`; else what is written there."""
        found: list[str | None] = [None]

        def change(text: str) -> str | None:
            found[0] = None if not text or text == dead or self._is_free(text) else text
            return self._mine.text() if found[0] is None else None

        artifact.exchange(self.path, change)
        return found[0]

    def _is_free(self, text: str) -> bool:
        holder = Holder.read(text)
        if holder is None:
            return False
        if holder.machine == self._mine.machine:
            started = _started(holder.pid)
            return started is None or started != holder.started
        renewed = datetime.datetime.fromisoformat(holder.renewed)
        return (datetime.datetime.now(datetime.UTC) - renewed).total_seconds() > LONG_AGO

    def _is_mine(self, text: str) -> bool:
        holder = Holder.read(text)
        return holder is not None and holder.token == self._mine.token

    def _renew(self) -> None:
        def change(text: str) -> str | None:
            self._lost = None if self._is_mine(text) else text
            return self._mine.text() if self._lost is None else None

        while self._lost is None and not self._ended.wait(RENEWED):
            self._mine = dataclasses.replace(self._mine, renewed=_now())
            with contextlib.suppress(OSError):  # the next one may succeed
                artifact.exchange(self.path, change)


@contextlib.contextmanager
def hold(run: epath.Path, doing: str = "trained", *, patience: float = 0.0) -> Iterator[Lock]:
    """The lock of a run's folder, or of another, for the time of a block.

    Args:
      run: the folder.
      doing: what is done to it, for others to be told.
      patience: seconds to wait for others who have it and live.

    Raises LockedError: another process has it. Of another machine's lock that is not renewed any
    more, waits for the end.
    """
    lock = Lock(_file_of(run), doing)
    lock.take(run, patience)
    try:
        yield lock
    finally:
        lock.release()


def holder_of(run: epath.Path) -> Holder | None:
    """Who has the lock of a run's folder, to be shown: whether that process lives is not asked."""
    try:
        return Holder.read(_file_of(run).read_text())
    except OSError:
        return None


def _file_of(run: epath.Path) -> epath.Path:
    return run.parent / f"_lock-{run.name}.json"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"user {os.getuid()}"


def _machine() -> str:
    """Host, its start, and the space of process ids: within one, ids can be asked about."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with contextlib.suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _started(pid: int) -> str | None:
    """When a process of this machine was started, in the kernel's ticks; None: there is none that
    runs; "": there is one, and no way to know."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # another user's
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return None if pathlib.Path("/proc/self/stat").exists() else ""
    except OSError:
        return ""
    return None if fields[0] in "ZX" else fields[19]
