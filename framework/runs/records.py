"""The records of a run: what metrics.jsonl says, when the run began, and how its training ended.

Pure Python, so that pages are made without the libraries that train.
"""

import datetime
import json
from typing import Any

from etils import epath

from podway.framework import artifact

METRICS = "metrics.jsonl"
BEGUN = "begun.json"
"""When a run began, and on what: {"when", "inputs", "selection", "largest_is_best"}."""
ENDED = "ended.json"
"""Of a run that is not finished, and not in training: {"when", "problem"}, which is "" where it was
stopped by request."""
PAGE = "report.html"
"""The run's page, which is written anew when there is more to show."""


def read(path: epath.PathLike) -> list[dict[str, Any]]:
    """The records of a metrics.jsonl; a last line that was cut off by a crash is left out."""
    path = epath.Path(path)
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def begin(directory: epath.Path, **facts: Any) -> None:
    """Writes BEGUN, unless the run goes on, and takes ENDED away."""
    (directory / ENDED).unlink(missing_ok=True)
    if not (directory / BEGUN).exists():
        _write(directory / BEGUN, facts)


def end(directory: epath.Path, problem: str = "") -> None:
    """Writes ENDED."""
    _write(directory / ENDED, {"problem": problem})


def _write(path: epath.Path, facts: dict[str, Any]) -> None:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    artifact.write_atomically(path, json.dumps({"when": now} | facts, indent=1))
