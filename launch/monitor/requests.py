"""The sampled log of requests that a server writes (export/server/request_log.py), read back."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from podway.framework.error import PodwayError

PATTERN = "requests-*.jsonl"


class LogError(PodwayError, ValueError):
    """A log of requests that cannot be read; the message names the file and the line."""


@dataclasses.dataclass(frozen=True)
class Request:
    """A logged request.

    Attributes:
      time: seconds since 1970.
      version: that answered.
      signature: by which it was asked.
      inputs: name → a value, or a list of values, for each row.
      outputs: likewise.
      hashed: names of those whose values are hashed.
    """

    time: float
    version: int
    signature: str
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    hashed: frozenset[str]


def read(folder: str | os.PathLike[str], model: str, begin: float, most: int) -> list[Request]:
    """The requests for a model since a time, the latest first, `most` at most.

    A line that is being written is left out. Raises LogError.
    """
    home = pathlib.Path(folder)
    if not home.is_dir():
        raise LogError(
            f"--log {home} is no folder; give the directory of the server's RequestLogConfig"
        )
    found: list[Request] = []
    for file in sorted(home.glob(PATTERN), key=_changed, reverse=True):
        if _changed(file) < begin:
            break
        fresh = [each for each in _of_file(file, model) if each.time >= begin]
        found += reversed(fresh)
        if len(found) >= most:
            break
    found.sort(key=lambda each: each.time, reverse=True)
    return found[:most]


def by_version(found: Sequence[Request]) -> dict[int, list[Request]]:
    """Version → its requests."""
    made: dict[int, list[Request]] = {}
    for each in found:
        made.setdefault(each.version, []).append(each)
    return made


def _changed(file: pathlib.Path) -> float:
    """When a file was last written to; 0 where it has just been taken away."""
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def _of_file(file: pathlib.Path, model: str) -> Iterator[Request]:
    try:
        lines = file.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            if entry["model"] != model:
                continue
            yield Request(
                time=float(entry["time"]),
                version=int(entry["version"]),
                signature=str(entry["signature"]),
                inputs=dict(entry["inputs"]),
                outputs=dict(entry["outputs"]),
                hashed=frozenset(entry["hashed"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise LogError(
                f"{file}, line {number} is no logged request: {type(error).__name__} {error}"
            ) from error
