"""Sizes and hashes of an artefact's files, taken and compared, many files at a time."""

import dataclasses
import functools
import hashlib
from collections.abc import Iterable
from concurrent import futures

from etils import epath

_THREADS = 16
"""Files read at once: a bucket answers slowly, but to many requests."""


@dataclasses.dataclass(frozen=True)
class File:
    """One file of an artefact: path relative to it, size in bytes, SHA-256 in hex."""

    path: str
    size: int
    sha256: str


def describe(directory: epath.Path, paths: Iterable[str]) -> tuple[File, ...]:
    """The files as they are."""
    with futures.ThreadPoolExecutor(_THREADS) as pool:
        return tuple(pool.map(functools.partial(_describe, directory), paths))


def difference(files: Iterable[tuple[epath.Path, File]]) -> str | None:
    """The first file that is not as described, as a sentence; each comes with where it lies."""
    with futures.ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(_difference, files)
        return next((difference for difference in found if difference), None)


def _difference(described: tuple[epath.Path, File]) -> str | None:
    path, file = described
    if not path.exists():
        return f"{path} is missing; the manifest lists it"
    found = _describe(path.parent, path.name)
    if found.size != file.size:
        return f"{path} has {found.size} bytes; the manifest says {file.size}"
    if found.sha256 != file.sha256:
        return f"{path} was altered: its SHA-256 is not the manifest's"
    return None


def _describe(directory: epath.Path, path: str) -> File:
    digest, size = hashlib.sha256(), 0
    with (directory / path).open("rb") as stream:
        while chunk := stream.read(1 << 22):
            digest.update(chunk)
            size += len(chunk)
    return File(path, size, digest.hexdigest())
