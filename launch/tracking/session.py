"""What a command tells of its artefacts, by way of a process of its own (launch/follower/).

The command writes to a pipe that never blocks, and waits for nobody until its end. What the other
process cannot tell, because the database is away or the machine is lost, is in the folders all the
same: `podway track` tells it later.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import inspect
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

from etils import epath

from podway.export import layout
from podway.framework import exit_codes
from podway.framework.config import Experiment, Mlflow, Tracking
from podway.framework.error import PodwayError
from podway.framework.report import artefacts
from podway.launch.tracking import address, ids, place
from podway.launch.tracking.address import Address

P = ParamSpec("P")
R = TypeVar("R")
WAIT, HURRY = 90.0, 4.0
"""Seconds for which a command waits at its end until all is told, and one that is asked to end."""
LONGEST = 500
"""Characters of a problem that are told: what fits into a pipe is written at once or not at all."""
_AT_LEISURE = (exit_codes.COMPLETE, exit_codes.REFUSED, exit_codes.NOT_PASSED)
"""Exit codes of commands that nobody has asked to end."""
_CHANGING = ("registry", "rollout", "sweeps", "compressions")
"""Kinds that are told again and again."""
_CURRENT: contextvars.ContextVar[Teller | None] = contextvars.ContextVar("teller", default=None)


class Teller:
    """Tells nothing: what a command has whose experiment is not tracked."""

    @contextlib.contextmanager
    def following(self, run: epath.PathLike | None) -> Iterator[None]:
        """The training of the run in a folder, for the time of a block; None: another process's."""
        del run
        yield

    def tell(self, kind: str, directory: epath.PathLike) -> None:
        """An artefact that is there: a "run", an "evaluation", a "model", a "gate"; the folder of a
        model as a "registry", when its labels have moved, or as a "rollout", when that has gone a
        step; or any other kind that tells of itself (others.py)."""

    def close(self, patience: float) -> None:
        """Waits until all is told, but no longer than so many seconds; 0: is silent about it."""


class _Piped(Teller):
    """Tells it to a follower, which is started when there is something to tell."""

    def __init__(self, to: Address, workdir: epath.PathLike):
        self._to, self._workdir = to, str(_absolute(workdir))
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._lost = False

    @contextlib.contextmanager
    def following(self, run: epath.PathLike | None) -> Iterator[None]:
        if run is None or self._is_told("run", epath.Path(run)):
            yield
            return
        self._send({"follow": str(_absolute(run))})
        try:
            yield
        except BaseException as error:
            problem = ""
            if isinstance(error, Exception):
                problem = str(error)[:LONGEST] or type(error).__name__
            self._send({"left": str(_absolute(run)), "problem": problem})
            raise
        self._send({"left": str(_absolute(run)), "problem": ""})

    def tell(self, kind: str, directory: epath.PathLike) -> None:
        if kind in _CHANGING or not self._is_told(kind, epath.Path(directory)):
            self._send({"tell": [kind, str(_absolute(directory))]})

    def close(self, patience: float) -> None:
        process = self._process
        if process is None:
            return
        self._send({"end": True})
        with contextlib.suppress(OSError):
            process.stdin.close()  # type: ignore[union-attr]
        if not patience:
            return
        try:
            process.wait(min(patience, 2.0))
        except subprocess.TimeoutExpired:
            if patience > HURRY:
                print("tracking: telling the rest", flush=True)
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                _say(
                    f"{self._to} has not been told all; a process in the background goes on with"
                    f" it, and `podway track {self._workdir}` tells what it leaves out"
                )
                return
        if self._thread:
            self._thread.join(timeout=5)

    def _is_told(self, kind: str, directory: epath.Path) -> bool:
        known = place.of_folder(kind, directory)
        return bool(ids.read(self._workdir, known, self._to.id).get("whole"))

    def _send(self, message: dict[str, Any]) -> None:
        if self._lost:
            return
        try:
            process = self._process or self._start()
            os.write(process.stdin.fileno(), _line(message))  # type: ignore[union-attr]
        except (OSError, ValueError) as error:
            self._lost = True
            _say(
                f"the process that tells {self._to} of this command is gone ({error}); `podway"
                f" track {self._workdir}` tells it later"
            )

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "podway.launch.follower"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the command; this one tells how it ended
        )
        assert process.stdin
        os.set_blocking(process.stdin.fileno(), False)
        self._process = process
        self._thread = threading.Thread(target=_pass_on, args=(process,), daemon=True)
        self._thread.start()
        os.write(
            process.stdin.fileno(),
            _line(
                {
                    "address": self._to.to_json(),
                    "workdir": self._workdir,
                    "command": os.getpid(),
                }
            ),
        )
        return process


@contextlib.contextmanager
def session(experiment: Experiment, workdir: epath.PathLike) -> Iterator[Teller]:
    """Whom to tell of the artefacts of a block; of blocks inside of each other the outer one's.

    Raises PodwayError: what tracking needs is not installed.
    """
    with _session(experiment.tracking, workdir) as found:
        yield found


@contextlib.contextmanager
def _session(
    tracking: Tracking, workdir: epath.PathLike, *, wait: float = WAIT
) -> Iterator[Teller]:
    outer = _CURRENT.get()
    if outer is not None:
        yield outer
        return
    to = address.of(tracking)
    if to is None:
        yield Teller()
        return
    teller = _Piped(to, workdir)
    token = _CURRENT.set(teller)
    patience = HURRY
    try:
        yield teller
        patience = wait
    except Exception as error:
        patience = WAIT if getattr(error, "exit_code", 0) in _AT_LEISURE else HURRY
        raise
    finally:
        _CURRENT.reset(token)
        teller.close(patience)


def moved(model: str, workdir: epath.PathLike) -> None:
    """Tells the registry of a model whose labels have moved, if its newest version is tracked.

    Nobody waits for it: a rollback may be urgent. What goes wrong with it undoes no move.
    """
    with of_model(model, workdir, wait=0) as found:
        found.tell("registry", layout.models(workdir) / model)


@contextlib.contextmanager
def of_model(
    model: str, workdir: epath.PathLike, version: int | None = None, *, wait: float = WAIT
) -> Iterator[Teller]:
    """Whom to tell what becomes of a published version: those that its run is told to.

    Args:
      model: its name.
      workdir: that it lies in.
      version: of it; None: the newest.
      wait: seconds at the end of the block until all is told; 0: nobody waits.

    What cannot be told, for want of a package, stops nothing, and is said.
    """
    home = layout.models(workdir) / model
    if version is None:
        version = max(
            (int(each.name) for each in home.iterdir() if each.name.isdecimal()), default=0
        )
    run = place.run_of(epath.Path(workdir), model, version)
    told = artefacts.mapping(run / "experiment.json").get("tracking") or {}
    kind = Mlflow if told.get("type") == "Mlflow" else Tracking
    config = kind(told.get("uri", ""), told.get("experiment", ""))
    try:
        address.of(config)
    except PodwayError as error:
        _say(f"nobody is told of {model} {version}: {error}")
        config = Tracking()
    with _session(config, workdir, wait=wait) as found:
        yield found


def tracked(stage: Callable[P, R]) -> Callable[P, R]:
    """A stage of the chain, a function of `experiment` and `workdir`, that is a session."""
    signature = inspect.signature(stage)

    @functools.wraps(stage)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        given = signature.bind(*args, **kwargs).arguments
        with session(given["experiment"], given["workdir"]):
            return stage(*args, **kwargs)

    return inside


def teller() -> Teller:
    """Whom to tell, in a session."""
    return _CURRENT.get() or Teller()


def _pass_on(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout
    for line in process.stdout:
        _say(line.decode(errors="replace").rstrip())


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _absolute(path: epath.PathLike) -> epath.Path:
    path = epath.Path(path)
    return path if "://" in str(path) else epath.Path(path.absolute())


def _say(text: str) -> None:
    print(f"podway: tracking: {text}", file=sys.stderr, flush=True)
