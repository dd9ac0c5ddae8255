"""What else may be told than the chain's artefacts, gates and rollouts: learning rates that were
looked for, and whatever comes to have a folder WORKDIR/KIND/NAME/VERSION. A file in it says all."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from etils import epath

from podway.framework import artifact, codec
from podway.framework.report import artefacts
from podway.launch.tracking import names
from podway.launch.tracking.place import absolute
from podway.launch.tracking.told import Point, Status, Told, key

FILE = "told.json"
"""In a folder: what is told of it."""


_CHAIN = ("datasets", "runs", "evaluations", "models", "gates", "tracked")
"""Folders of a workdir whose artefacts do not tell of themselves."""
Curve = Mapping[str, Sequence[float]]
"""Metric → its values, from step 1 on."""


def folder(workdir: epath.PathLike, kind: str, name: str, version: str) -> epath.Path:
    """Where something of a kind lies that is to be found again (see `found`)."""
    return epath.Path(workdir) / kind / name / version


def found(workdir: epath.PathLike) -> Iterator[tuple[str, epath.Path]]:
    """What a workdir holds of all kinds: (kind, folder), sorted."""
    for kind in _folders(epath.Path(workdir)):
        if kind.name in _CHAIN:
            continue
        for name in _folders(kind):
            yield from ((kind.name, version) for version in _folders(name) if is_one(version))


def is_one(directory: epath.Path) -> bool:
    """Whether a folder tells of itself."""
    return (directory / FILE).exists()


def write(
    directory: epath.PathLike,
    *,
    name: str,
    version: str,
    status: Status = "FINISHED",
    run: str = "",
    config: Any = None,
    metrics: Mapping[str, float] | None = None,
    curve: Curve | None = None,
    facts: Mapping[str, Any] | None = None,
    parts: Sequence[Mapping[str, Any]] = (),
    began: float | None = None,
) -> None:
    """Writes what is told of a folder, which `Teller.tell(KIND, directory)` then tells.

    Args:
      directory: where a report lies, say.
      name: of the experiment.
      version: tells it from others of its kind and name.
      status: what became of it.
      run: version of the run that it is about; "": of none.
      config: it was made by, as JSON.
      metrics: by name.
      curve: values over steps.
      facts: what else is known, by name; they become tags.
      parts: what it is made of, each told as a run below it: {"version", "config", "metrics",
        "facts", "curve"}, the last {metric: [[step, value], …]}.
      began: seconds since 1970; None: now.
    """
    content = {
        "name": name,
        "version": version,
        "status": status,
        "run": run,
        "config": config,
        "metrics": dict(metrics or {}),
        "curve": {name: list(values) for name, values in (curve or {}).items()},
        "facts": names.tags(facts or {}),
        "parts": [{**part, "facts": names.tags(part["facts"])} for part in parts],
        "began": time.time() if began is None else began,
        "ended": time.time(),
    }
    artifact.write_atomically(epath.Path(directory) / FILE, codec.json_text(content, indent=1))


def read(kind: str, directory: epath.Path) -> list[Told]:
    """What is told of a folder; [] where it has no such file."""
    found = artefacts.mapping(directory / FILE)
    if not {"name", "version", "status"} <= found.keys():
        return []
    ended = int(1000 * found.get("ended", 0))
    name, facts = found["name"], dict(found.get("facts") or {})
    return [
        Told(
            kind=kind,
            name=name,
            version=found["version"],
            place=str(absolute(directory)),
            status=found["status"],
            began=int(1000 * found.get("began", 0)),
            ended=None if found["status"] == "RUNNING" else ended,
            parameters=names.parameters(found["config"], kind) if found.get("config") else {},
            tags=names.tags({f"podway.{fact}": value for fact, value in facts.items()}),
            curve=tuple(_curve(found)),
            results=tuple(
                Point(metric, _number(value), 0, ended)
                for metric, value in (found.get("metrics") or {}).items()
            ),
            of=key("run", name, found["run"]) if found.get("run") else "",
        ),
        *(_part(each, kind, found, directory) for each in found.get("parts") or ()),
    ]


def _part(part: Mapping[str, Any], kind: str, of: Mapping[str, Any], directory: epath.Path) -> Told:
    """A run below the one that the folder is of."""
    ended, name, version = int(1000 * of.get("ended", 0)), of["name"], of["version"]
    return Told(
        kind=f"{kind} part",
        name=name,
        version=f"{version}-{part['version']}",
        place=str(absolute(directory)),
        status="FINISHED",
        began=int(1000 * of.get("began", 0)),
        ended=ended,
        parameters=names.parameters(part["config"]),
        tags=names.tags({f"podway.{fact}": value for fact, value in part["facts"].items()}),
        curve=tuple(
            Point(metric, _number(value), step, ended)
            for metric, points in part["curve"].items()
            for step, value in points
        ),
        results=tuple(
            Point(metric, _number(value), 0, ended)
            for metric, value in part["metrics"].items()
            if metric not in part["curve"]
        ),
        of=key(kind, name, version),
    )


def _curve(found: Mapping[str, Any]) -> Iterator[Point]:
    """Points, spread evenly over the time that it took."""
    began, ended = 1000 * found.get("began", 0), 1000 * found.get("ended", 0)
    for name, values in (found.get("curve") or {}).items():
        for step, value in enumerate(values, 1):
            when = began + (ended - began) * step / len(values)
            yield Point(name, _number(value), step, int(when))


def _number(value: float | None) -> float:
    """null stands for what is not finite."""
    return math.nan if value is None else float(value)


def _folders(folder: epath.Path) -> list[epath.Path]:
    children = folder.iterdir() if folder.is_dir() else ()
    found = (child for child in children if child.is_dir() and child.name[:1] not in "_.")
    return sorted(found, key=lambda child: child.name)
