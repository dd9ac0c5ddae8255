"""What an API server would say of manifests, told by its own code (validate/)."""

import json
import pathlib
import subprocess
from collections.abc import Iterable
from typing import Any

from tests.cluster import programs

Manifest = dict[str, Any]
CRDS = pathlib.Path(__file__).parent / "crds"
"""Definitions of the kinds that are not Kubernetes' own."""


def validate(manifests: Iterable[Manifest]) -> list[str]:
    """An error each, "KIND NAME: FIELD: MESSAGE"; none if a cluster would take them all.

    Builds the program if need be: ask `programs.missing` before whether that can be done.
    """
    text = "\n---\n".join(json.dumps(manifest) for manifest in manifests)
    return [line.removeprefix("-: ") for line in _run([], text)]


def validate_files(files: Iterable[pathlib.Path]) -> list[str]:
    """An error each, "FILE: KIND NAME: FIELD: MESSAGE", of files of YAML or JSON."""
    return _run([str(file) for file in files], "")


def _run(files: list[str], text: str) -> list[str]:
    done = subprocess.run(
        [str(programs.build("validate")), "-crds", str(CRDS), *files],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stderr)
    return done.stdout.splitlines()
