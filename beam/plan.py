"""What a dataset will be and where, as plain data: all that a worker must know to commit it."""

import dataclasses
from typing import Any

from etils import epath

from beam import source
from framework.config import Data, Rdatasets

Stamp = tuple[str, int, float]
"""A raw file, its size in bytes and its time of change."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """A dataset to build, decided before the pipeline runs.

    Attributes:
      data: what to build.
      files: the raw files of data.path.
      stamps: the raw files as they were when their content was hashed.
      identity: kind, config, inputs and code: what the version is a hash of.
      stage: folder that the pipeline writes to.
      target: where the dataset will lie; its last part is the version.
      git: commit of the checkout that launched the pipeline.
    """

    data: Data
    files: tuple[str, ...]
    stamps: tuple[Stamp, ...]
    identity: dict[str, Any]
    stage: str
    target: str
    git: dict[str, Any]


def stamps(data: Data) -> tuple[Stamp, ...]:
    """The raw files as they are now, side tables included. Raises DataError: no raw file."""
    files = list(source.find(data)) if not isinstance(data.format, Rdatasets) else []
    for table in data.tables:
        if not isinstance(table.format, Rdatasets):
            like = dataclasses.replace(data, path=table.path, format=table.format)
            files += source.find(like)
    return tuple(_stamp(file) for file in files)


def _stamp(file: str) -> Stamp:
    stat = epath.Path(file).stat()
    return file, stat.length, stat.mtime
