"""What was launched from this machine, and where: a file for each launch, in the user's state.

A cluster knows its launches itself; machines without a scheduler don't, so that without this nobody
could list them. It is a list of places to ask, no record of what goes on there.
"""

import dataclasses
import json
import os
import pathlib
import time
from typing import Any, Literal

from podway.framework import codec
from podway.framework.error import ConfigError
from podway.launch.targets.error import LaunchError
from podway.launch.targets.kubernetes.target import Kubernetes
from podway.launch.targets.machines.target import Machines

Kind = Literal["kubernetes", "machines"]
KINDS: dict[str, type] = {"kubernetes": Kubernetes, "machines": Machines}
KEEP = 30 * 86_400
"""Seconds after its end until a launch is forgotten here."""


@dataclasses.dataclass(frozen=True)
class Record:
    """One launch.

    Attributes:
      name: of it.
      kind: of its target.
      target: where it is.
      experiment: the experiment's name.
      workdir: where its artefacts lie.
      hash: of what is trained.
      launched: seconds since 1970.
      end: "complete", "failed" or "stopped", once this machine has seen it; "": not yet.
      ended: when it saw that.
    """

    name: str
    kind: str
    target: Kubernetes | Machines
    experiment: str
    workdir: str
    hash: str
    launched: float
    end: str = ""
    ended: float = 0.0


def folder() -> pathlib.Path:
    """Where the records lie: $XDG_STATE_HOME/podway/launches, by default in ~/.local/state."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return pathlib.Path(state).expanduser() / "podway" / "launches"


def write(record: Record) -> None:
    """Keeps a record, in the place of an older one of that name."""
    path = folder() / f"{record.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = codec.to_json(record)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_text(json.dumps(stored, indent=1))
    new.replace(path)


def ended(record: Record, phase: str) -> None:
    """Notes how a launch ended."""
    write(dataclasses.replace(record, end=phase, ended=time.time()))


def read() -> list[Record]:
    """All launches, the latest first; what ended long ago is forgotten."""
    found = []
    for path in sorted(folder().glob("*.json")):
        record = _record(path)
        if record.end and time.time() - record.ended > KEEP:
            path.unlink(missing_ok=True)
        else:
            found.append(record)
    return sorted(found, key=lambda record: record.launched, reverse=True)


def find(name: str) -> Record | None:
    """A launch by its name; None: it is not known here."""
    return next((record for record in read() if record.name == name), None)


def _record(path: pathlib.Path) -> Record:
    try:
        stored: dict[str, Any] = json.loads(path.read_text())
        target = codec.from_json(KINDS[stored["kind"]], stored.pop("target"), "target")
        return Record(target=target, **stored)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        raise LaunchError(
            f"{path}: it is no record of a launch that this Podway reads ({error}); delete it: the"
            " launch itself is not touched"
        ) from error
