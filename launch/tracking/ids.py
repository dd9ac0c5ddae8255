"""WORKDIR/tracked/: which run of which tracking database an artefact is, so that it stays one.

A small file for each artefact. Nothing is lost with it: then the database is searched.
"""

import json
from typing import Any

from etils import epath

from podway.framework import artifact

FOLDER = "tracked"


def path(workdir: epath.PathLike, key: str) -> epath.Path:
    """The file of an artefact."""
    return epath.Path(workdir) / FOLDER / f"{key.replace('/', '-')}.json"


def read(workdir: epath.PathLike, key: str, database: str) -> dict[str, Any]:
    """{"run": its id, "whole": whether all of it is told}; {} where nothing is known."""
    try:
        found = json.loads(path(workdir, key).read_text())[database]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def claim(workdir: epath.PathLike, key: str, database: str, run: str, *, dead: str = "") -> str:
    """The id that counts from now on: `run`, or what another process wrote down meanwhile.

    `dead` is an id that the database does not know any more. Raises OSError.
    """
    counts = [run]

    def change(text: str) -> str | None:
        known = _parse(text)
        there = known.get(database, {}).get("run")
        counts[0] = run if there in (None, "", dead) else there
        return _text(known | {database: {"run": run}}) if counts[0] == run else None

    artifact.exchange(path(workdir, key), change)
    return counts[0]


def finish(workdir: epath.PathLike, key: str, database: str, run: str, *, whole: bool) -> None:
    """Notes whether all is told that there will be to tell. Raises OSError."""

    def change(text: str) -> str | None:
        known = _parse(text)
        return _text(known | {database: {"run": run, "whole": whole}})

    artifact.exchange(path(workdir, key), change)


def _parse(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    whole = isinstance(found, dict) and all(isinstance(each, dict) for each in found.values())
    return found if whole else {}


def _text(known: dict[str, Any]) -> str:
    return json.dumps(known, indent=1) + "\n"
