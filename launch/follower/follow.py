"""What is still to be told of a command, and of the run that it trains now."""

import contextlib
import dataclasses
import time
import uuid
from typing import Any

from etils import epath

from podway.framework.code import provenance
from podway.framework.error import PodwayError
from podway.framework.runs import lock
from podway.launch.follower import tell
from podway.launch.tracking import artefact, names
from podway.launch.tracking.address import Address
from podway.launch.tracking.tail import Tail
from podway.launch.tracking.told import Status, Told

LOOK, AGAIN = 10.0, 30.0
"""Seconds between two looks at a run, and until a database that did not answer is asked again."""
_REMOTE = 15.0
"""Seconds between two looks at a run on a bucket."""
ASKED = "stopped by request; the same command goes on with it"


class Follower:
    """What is still to be told, and the run that is being trained.

    Args:
      to: the database.
      workdir: that the artefacts lie in.
      command: the process id of the command that tells.
    """

    def __init__(self, to: Address, workdir: str, command: int):
        self._to, self._workdir, self._command = to, workdir, command
        self._session = uuid.uuid4().hex
        self._database: Any = None
        self._jobs: list[tuple[str, Any]] = []
        self._following: str | None = None
        self._run = ""
        self._tail: Tail | None = None
        self._warned, self._next = "", 0.0

    @property
    def pause(self) -> float | None:
        """Seconds until there is something to do without a message."""
        if self._next > time.monotonic():
            return self._next - time.monotonic()
        if self._jobs:
            return 0.0
        if self._following is None:
            return None
        return _REMOTE if "://" in self._workdir else LOOK

    def take(self, message: dict[str, Any]) -> None:
        """Takes note of a message."""
        if "follow" in message:
            self._jobs.append(("follow", message["follow"]))
        elif "left" in message:
            self._jobs.append(("left", message))
        elif "tell" in message:
            self._jobs.append(("tell", tuple(message["tell"])))

    def killed(self) -> None:
        """The command is gone without a word."""
        follows = [job for name, job in self._jobs if name == "follow"]
        left = [job["left"] for name, job in self._jobs if name == "left"]
        running = [run for run in (self._following, *follows) if run and run not in left]
        for run in running:
            self._jobs.append(("killed", run))

    def advance(self) -> bool:
        """Does what there is to do; whether all is done. What fails stays to be done."""
        if self._next > time.monotonic():
            return False
        try:
            if self._database is None:
                from podway.launch.tracking.database import Database

                self._database = Database(self._to, self._workdir)
            while self._jobs:
                try:
                    self._do(*self._jobs[0])
                except Exception as error:
                    if not _is_final(error):
                        raise
                    say(f"{self._to} is not told of {self._jobs[0][1]}: {error}")
                del self._jobs[0]
            self._look()
        except Exception as error:
            self._warn(error)
            return False
        if self._warned:
            say(f"{self._to} answers again; what it had missed is told")
        self._warned = ""
        return True

    def hurry(self) -> None:
        """Asks the database again at once."""
        self._next = 0.0

    def _do(self, what: str, job: Any) -> None:
        match what:
            case "follow":
                self._begin(epath.Path(job))
            case "left":
                self._leave(epath.Path(job["left"]), job["problem"])
            case "killed":
                self._kill(epath.Path(job))
            case "tell":
                tell.tell(self._database, job[0], epath.Path(job[1]), self._session)

    def _begin(self, directory: epath.Path) -> None:
        self._following, self._run = str(directory), ""
        self._tail = Tail(directory, int(1000 * time.time()))

    def _look(self) -> None:
        """What is new of the run that is followed, once the command has its lock."""
        if self._following is None or self._tail is None:
            return
        directory = epath.Path(self._following)
        if not self._run:
            found = artefact.run(directory, curve=False) if self._is_ours(directory) else []
            if not found or found[0].status == "FINISHED":
                return
            self._run = self._database.tell(_begun(found[0]), session=self._session)
        points = self._tail.points()
        try:
            self._database.log(self._run, points)
        except Exception:
            self._tail = Tail(directory, int(1000 * time.time()))  # reads all again
            raise

    def _is_ours(self, directory: epath.Path, *, else_: bool = False) -> bool:
        """Whether the command trains a run, or has trained it last; `else_` where nobody does."""
        holder = lock.holder_of(directory)
        return else_ if holder is None else holder.pid == self._command

    def _leave(self, directory: epath.Path, problem: str) -> None:
        """The folder says whether the run is finished, or who else goes on with it."""
        self._look()
        if self._is_ours(directory, else_=True):
            self._tell_end(directory, "FAILED" if problem else "KILLED", problem or ASKED)
        self._following, self._run = None, ""

    def _kill(self, directory: epath.Path) -> None:
        if self._following == str(directory):
            self._look()
        if self._is_ours(directory):
            self._tell_end(directory, "KILLED", artefact.SILENT)
        self._following, self._run = None, ""

    def _tell_end(self, directory: epath.Path, status: Status, problem: str) -> None:
        for told in artefact.run(directory):
            run = self._database.tell(told, session=self._session)
            self._database.note(told, run)
            if told.status != "FINISHED":
                now = int(1000 * time.time())
                self._database.end(run, status, now, problem, self._session)

    def _warn(self, error: Exception) -> None:
        self._next = time.monotonic() + AGAIN
        text = f"{type(error).__name__}: {error}".partition("\n")[0]
        if text != self._warned:
            say(
                f"{self._to} does not take what it is told ({text}); it is tried again, and"
                f" `podway track {self._workdir}` tells what it leaves out"
            )
        self._warned = text


def _is_final(error: Exception) -> bool:
    """Whether another try would end the same way."""
    refused = getattr(error, "error_code", "") in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")
    return refused or isinstance(error, PodwayError)


def of(message: dict[str, Any]) -> Follower:
    """The follower that the first message asks for."""
    return Follower(Address(**message["address"]), message["workdir"], message["command"])


def _begun(told: Told) -> Told:
    """A run that goes on: of the code that is here, and without the end of a session before."""
    git = provenance.git()
    tags = {name: text for name, text in told.tags.items() if name != "podway.problem"}
    tags |= names.tags(
        {
            "mlflow.source.git.commit": git.get("commit"),
            "podway.git.dirty": git.get("dirty"),
            "podway.state": "training",
        }
    )
    return dataclasses.replace(told, status="RUNNING", ended=None, tags=tags)


def say(text: str) -> None:
    """Says something to the command, which passes it on."""
    with contextlib.suppress(OSError):  # nobody reads it any more
        print(text, flush=True)
