"""What Podway of this machine makes of a frozen experiment: to be held against another machine's.

`python -m podway.launch.targets.machines.identity EXPERIMENT.json` prints it.
"""

import importlib.metadata
import importlib.util
import json
import pathlib
import sys
from typing import Any

from podway.framework import codec
from podway.framework.code import sources
from podway.framework.config import Experiment
from podway.framework.error import PodwayError
from podway.launch.targets import frozen

PACKAGES = ("jax", "jaxlib")
"""Whose versions all processes must share."""
EXPORT = "tensorflow"
"""What the export needs, and training does not."""


def of(experiment: Experiment) -> dict[str, Any]:
    """Version of Podway, and of the code that makes each kind of artefact."""
    return {
        "podway": importlib.metadata.version("podway"),
        "code": {
            "dataset": sources.code("dataset", experiment.data),
            **{kind: sources.code(kind, experiment) for kind in ("run", "evaluation", "model")},
        },
    }


def of_host(experiment: Experiment) -> dict[str, Any]:
    """As `of`, with what is installed, and the raw files that are seen from here."""
    return {
        **of(experiment),
        "packages": {name: _version(name) for name in PACKAGES},
        "exports": importlib.util.find_spec(EXPORT) is not None,
        "raw": _raw(experiment),
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _raw(experiment: Experiment) -> dict[str, str]:
    """A hash of the raw files' names, or an error; their bytes are not read."""
    from podway.beam.formats import source

    try:
        files = [
            source.find(part)
            for data in (experiment.data, *(each.data for each in experiment.mixture))
            for part in (data, *data.tables)
        ]
    except PodwayError as error:
        return {"error": str(error)}
    return {"files": codec.content_hash(files)}


def main() -> None:
    """Prints the identity of an experiment here, as JSON."""
    try:
        print(json.dumps(of_host(frozen.read(pathlib.Path(sys.argv[1])))))
    except PodwayError as error:
        sys.exit(f"podway: error: {error}")


if __name__ == "__main__":
    main()
