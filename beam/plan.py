"""What a dataset will be and where, as plain data: all that a worker must know to commit it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from podway.beam.formats import copies, recognise, source
from podway.beam.formats.recognise import Recognised
from podway.framework.config import Data, Rdatasets

Raw = dict[str, Any]
"""A raw file as manifests list it: its "path", and its "identity" (see source.identities); and
of a side table its "table", as the config names that."""

Stamp = tuple[str, int, int]
"""A raw file, its size in bytes and its time of change (see source.stamp)."""


@dataclasses.dataclass(frozen=True)
class Base:
    """The dataset that an extension starts from.

    Attributes:
      directory: where it lies, beside the extension.
      version: its name there.
      files: how many raw files it was made of; the new ones' numbers follow.
      cuts: the points of its split, where it has some (see steps/masks.py).
      report: its report (see summarise.report).
      whole: the version that a dataset of all raw files would have without it.
    """

    directory: str
    version: str
    files: int
    cuts: list[Any] | None
    report: dict[str, Any]
    whole: str


@dataclasses.dataclass(frozen=True)
class BuildPlan:
    """A dataset to build, decided before the pipeline runs.

    Attributes:
      data: what to build.
      files: the raw files of data.path that are read.
      raw: all raw files of data.path that the dataset holds, in the order of their numbers.
      stamps: the raw files as they were when their content was hashed.
      identity: kind, config, inputs and code: what the version is a hash of.
      stage: folder that the pipeline writes to.
      target: where the dataset will lie; its last part is the version.
      git: commit of the checkout that launched the pipeline.
      base: the dataset that is extended, if there is one.
      tables: all files of the side tables.
      recognised: how the raw files are written, of the events and of each side table.
    """

    data: Data
    files: tuple[str, ...]
    raw: tuple[Raw, ...]
    stamps: tuple[Stamp, ...]
    identity: dict[str, Any]
    stage: str
    target: str
    git: dict[str, Any]
    base: Base | None = None
    recognised: tuple[Recognised, ...] = ()
    tables: tuple[Raw, ...] = ()


def raw_files(data: Data) -> tuple[Raw, ...]:
    """The raw files of data.path as they are now. Raises DataError: there is none, or one twice."""
    files = source.find(data)
    identities = source.identities(data, files)
    copies.refuse(data, files, identities)
    return tuple(
        {"path": file, "identity": identity}
        for file, identity in zip(files, identities, strict=True)
    )


def table_files(data: Data) -> tuple[Raw, ...]:
    """The files of the side tables as they are now. Raises DataError: a table has none."""
    found: list[Raw] = []
    for table in data.tables:
        files = source.find(table)
        for file, identity in zip(files, source.identities(table, files), strict=True):
            found.append({"table": table.path, "path": file, "identity": identity})
    return tuple(found)


def recognised(
    data: Data, base: Sequence[Mapping[str, Any]] | None = None
) -> tuple[Recognised, ...]:
    """How the raw files are written, of the events and of each side table; what the manifest of a
    dataset `base` says of it holds. Raises DataError: what may be read in several ways."""
    if base is not None:
        return tuple(map(Recognised.from_json, base))
    return tuple(recognise.recognise(raw, source.find(raw)) for raw in (data, *data.tables))


def stamps(data: Data) -> tuple[Stamp, ...]:
    """The raw files as they are now, side tables included. Raises DataError: no raw file."""
    files = list(source.find(data)) if not isinstance(data.format, Rdatasets) else []
    for table in data.tables:
        if not isinstance(table.format, Rdatasets):
            like = dataclasses.replace(data, path=table.path, format=table.format, exclude=())
            files += source.find(like)
    return tuple(source.stamp(file) for file in files)


def changed(stamps: Sequence[Stamp]) -> str:
    """The first of these files that is not as it was, or is gone; "": all are. Files that came
    meanwhile are none of them: a folder may grow while it is read."""
    for file, *was in stamps:
        try:
            now = source.stamp(file)
        except FileNotFoundError:
            return file
        if now != (file, *was):
            return file
    return ""
