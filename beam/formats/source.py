"""The raw files: which they are, and what they contain (as a hash)."""

import difflib
import fnmatch
import functools
import hashlib
import importlib.metadata
import importlib.util
import logging
import os
from concurrent import futures

from etils import epath

from podway.beam import paths
from podway.beam.error import DataError
from podway.framework import codec, config
from podway.framework.artifact.files import stat

_LOG = logging.getLogger(__name__)

PACKAGE = "package://"
"""Before the name of an installed package and a path inside it."""


def find(raw: config.Data | config.SideTable) -> list[str]:
    """The raw files that a path names, sorted; for Rdatasets the table's own name.

    Raises:
      DataError: there is none.
    """
    if isinstance(raw.format, config.Rdatasets):
        return [raw.path]
    pattern = _in_package(raw.path) if raw.path.startswith(PACKAGE) else raw.path
    files = paths.find(pattern, raw.format)
    if not files:
        where = "data.path" if isinstance(raw, config.Data) else "the path of a side table"
        raise DataError(f"{where} is {raw.path!r} and no file is there{_remedy(pattern, raw)}")
    if others := paths.left_out(pattern, raw.format):
        _tell_once(
            f"{raw.path}: {len(others):,} other files than {type(raw.format).__name__} reads from a"
            f" folder are left out, such as {others[0]}"
        )
    return _without(files, raw.exclude) if isinstance(raw, config.Data) else files


def _without(files: list[str], patterns: tuple[str, ...]) -> list[str]:
    """The files that none of the patterns names. Raises DataError: a pattern names none, or all."""
    whole = {*files} & {*patterns}  # a path may hold brackets
    named = set(whole)
    for pattern in patterns:
        if pattern in whole:
            continue
        found = [
            file
            for file in files
            if fnmatch.fnmatchcase(file, pattern)
            or fnmatch.fnmatchcase(paths.name_of(file), pattern)
        ]
        if not found:
            near = difflib.get_close_matches(pattern, files, n=1) or files[:1]
            raise DataError(
                f"data.exclude has {pattern!r}, which names none of the {len(files):,} raw files,"
                f" such as {near[0]}: give the path or the name of one, or a pattern"
            )
        named |= {*found}
    if not (left := [file for file in files if file not in named]):
        raise DataError(f"data.exclude {list(patterns)} leaves none of {len(files):,} raw files")
    return left


def _remedy(pattern: str, raw: config.Data | config.SideTable) -> str:
    path = epath.Path(pattern)
    if path.is_dir():
        name = type(raw.format).__name__
        endings = ", ".join(paths.SUFFIXES.get(type(raw.format), ()))
        others = paths.left_out(pattern, raw.format)
        there = f", but {others[0]}" if others else ""
        return (
            f": of a folder, {name} reads files whose names end in {endings}{there}; give another"
            " format, or a pattern such as FOLDER/**/*"
        )
    local = "://" not in pattern
    beside = [each.name for each in path.parent.iterdir()] if local and path.parent.is_dir() else []
    if close := difflib.get_close_matches(path.name, beside, n=1):
        return f"; perhaps you meant {str(path.with_name(close[0]))!r}"
    here = f" (the command runs in {os.getcwd()})" if local and not path.is_absolute() else ""
    return f"{here}: give a file, a folder, or a pattern of files"


@functools.cache
def _tell_once(message: str) -> None:
    _LOG.info(message)


def _in_package(path: str) -> str:
    """Where a file of an installed package lies; the package is not imported."""
    package, _, rest = path.removeprefix(PACKAGE).partition("/")
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise DataError(
            f"{path!r} names the package {package!r}, which is not installed; install it, here and"
            " wherever the dataset is built or trained on, or give the path of a file"
        )
    return f"{found.submodule_search_locations[0]}/{rest}"


def content_hash(data: config.Data | config.SideTable, files: list[str]) -> str:
    """16 hex digits over the files' names and bytes; for Rdatasets over the package's version."""
    found = identities(data, files)
    return codec.content_hash(found[0] if isinstance(data.format, config.Rdatasets) else found)


def identities(data: config.Data | config.SideTable, files: list[str]) -> list[list[str | int]]:
    """Each file's name, with the folders that hold a value, and a hash of its bytes; for Rdatasets
    the package's version, and the path.

    Objects on gs:// are not read: their size and the CRC32C that the store keeps stand for them.
    """
    if isinstance(data.format, config.Rdatasets):
        return [[importlib.metadata.version("rdatasets"), data.path]]
    with futures.ThreadPoolExecutor(16) as pool:
        return list(pool.map(_identity, files))


def _identity(file: str) -> list[str | int]:
    if file.startswith("gs://"):
        import fsspec  # needs the extra `gcs`

        found = fsspec.filesystem("gcs").info(file)
        return [paths.name_of(file), found["size"], found["crc32c"]]
    return [paths.name_of(file), _sha256_of(*stamp(file))]


def stamp(file: str) -> tuple[str, int, int]:
    """A file, its size in bytes, and its time of change, in nanoseconds where the system knows."""
    if "://" in file:
        remote = stat(file)
        return file, remote.length, remote.mtime * 1_000_000_000
    found = os.stat(file)
    return file, found.st_size, found.st_mtime_ns


@functools.lru_cache(4096)
def _sha256_of(file: str, size: int, changed: int) -> str:
    """Size and time of change are there to be part of the cache's key."""
    digest = hashlib.sha256()
    with epath.Path(file).open("rb") as stream:
        while chunk := stream.read(1 << 22):
            digest.update(chunk)
    return digest.hexdigest()


def shares(data: config.Data, files: list[str]) -> list[float]:
    """Each file's part of all bytes."""
    if isinstance(data.format, config.Rdatasets):
        return [1.0]
    sizes = [max(stat(file).length, 1) for file in files]
    return [size / sum(sizes) for size in sizes]
