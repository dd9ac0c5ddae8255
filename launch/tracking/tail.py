"""The records of a run that are new since the last look at its metrics.jsonl."""

import json
import math
import time
from collections.abc import Mapping
from typing import Any

from etils import epath

from podway.framework.artifact.files import stat
from podway.framework.runs import records
from podway.launch.tracking.told import Point

_BEFORE = 256
"""Bytes before the place that was read to, by which a file that was written anew is known."""


class Tail:
    """Reads on in a file that grows, and from its begin where it was written anew.

    Args:
      directory: of the run.
      since: when it began, in milliseconds since 1970: the file has no times. Points are spread
        evenly between two looks.
    """

    def __init__(self, directory: epath.Path, since: int):
        self._path, self._since = directory / records.METRICS, since
        self._place, self._before, self._seen = 0, b"", (-1, -1)

    def points(self) -> tuple[Point, ...]:
        """What is new. Raises OSError."""
        if not self._path.exists():
            return ()
        seen = stat(self._path)
        if seen == self._seen:
            return ()
        lines = self._lines()
        self._seen = seen
        now = min(int(1000 * time.time()), max(1000 * (seen.mtime + 1), self._since))
        span, count = now - self._since, max(len(lines), 1)
        found: list[Point] = []
        for at, line in enumerate(lines, 1):
            record = _record(line)
            if record is not None:
                found += points(record, self._since + span * at // count)
        self._since = now
        return tuple(found)

    def _lines(self) -> list[bytes]:
        with self._path.open("rb") as file:
            start = max(0, self._place - _BEFORE)
            file.seek(start)
            text = file.read()
        same = text[: self._place - start] == self._before
        if not same:
            with self._path.open("rb") as file:
                text = file.read()
            start, self._place = 0, 0
        whole = text[: text.rfind(b"\n") + 1]
        new = whole[self._place - start :]
        self._place = max(self._place, start + len(whole))
        self._before = text[: self._place - start][-_BEFORE:]
        return new.splitlines()


def points(record: Mapping[str, Any], when: int) -> list[Point]:
    """A record as points; null, which stands for what is not finite, as nan."""
    return [
        Point(name, math.nan if value is None else float(value), record["step"], when)
        for name, value in record.items()
        if name != "step" and (value is None or isinstance(value, int | float))
    ]


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(record, dict) and isinstance(record.get("step"), int)
    return record if whole else None
