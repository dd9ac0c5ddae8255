"""What else may be told than the chain's artefacts: gates, rollouts, sweeps. A file in a folder."""

import time
from collections.abc import Mapping
from typing import Any

from etils import epath

from podway.framework import artifact, codec
from podway.framework.report import artefacts
from podway.launch.tracking import names
from podway.launch.tracking.told import Point, Status, Told, key

FILE = "told.json"
"""In a folder: what is told of it."""


def write(
    directory: epath.PathLike,
    *,
    name: str,
    version: str,
    status: Status = "FINISHED",
    run: str = "",
    config: Any = None,
    metrics: Mapping[str, float] | None = None,
    facts: Mapping[str, Any] | None = None,
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
      facts: what else is known, by name; they become tags.
      began: seconds since 1970; None: now.
    """
    content = {
        "name": name,
        "version": version,
        "status": status,
        "run": run,
        "config": config,
        "metrics": dict(metrics or {}),
        "facts": names.tags(facts or {}),
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
            place=str(directory),
            status=found["status"],
            began=int(1000 * found.get("began", 0)),
            ended=None if found["status"] == "RUNNING" else ended,
            parameters=names.parameters(found["config"], kind) if found.get("config") else {},
            tags=names.tags({f"podway.{fact}": value for fact, value in facts.items()}),
            results=tuple(
                Point(metric, float("nan") if value is None else float(value), 0, ended)
                for metric, value in (found.get("metrics") or {}).items()
            ),
            of=key("run", name, found["run"]) if found.get("run") else "",
        )
    ]
