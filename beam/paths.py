"""What data.path names: a file, a folder, or a pattern; and the values that folders' names hold.

    *  ?  [ab]    within one name, as in a shell; a name that begins with a dot is not matched
    **            any folders, also none
    {a,b}         either, in this order
    a folder      all files in it, and in its folders, whose names end as the format's files do

Left out are hidden files and folders, folders whose names begin with "_" (below a folder or "**"),
and marker files that writers of tables leave (_SUCCESS, _metadata …). Local paths and gs:// alike.
"""

import fnmatch
import functools
import glob
import os
import re
import urllib.parse
from collections.abc import Iterable, Iterator

from etils import epath

from podway.beam.error import DataError
from podway.framework.config import Characters, Csv, Format, Idx, JsonLines, Lists, Parquet

SUFFIXES: dict[type[Format], tuple[str, ...]] = {
    Csv: (".csv", ".tsv", ".psv", ".txt", ".dat", ".data"),
    JsonLines: (".jsonl", ".ndjson", ".json"),
    Parquet: (".parquet", ".parq", ".pq"),
    Lists: (".txt", ".dat", ".data", ".csv", ".tsv"),
    Characters: (".txt",),
    Idx: ("-images-idx3-ubyte",),
}
"""How names end of the files that are taken from a folder; any of PACKED may follow."""

PACKED = (".gz", ".bz2", ".zst", ".zstd", ".lz4", ".xz", ".zip")

_MARKER = re.compile(r"_SUCCESS|_(started|committed)_\d+|_metadata|_common_metadata|_symlink_.*")
_TABLES = {"_delta_log": "Delta Lake", ".hoodie": "Apache Hudi"}
"""Folders of table formats whose files alone don't say which rows are there."""

NULL = "__HIVE_DEFAULT_PARTITION__"
"""What Hive and Spark call the folder of rows without a value."""


def find(path: str, format: Format) -> list[str]:
    """The files that a path names: of each alternative of braces sorted, each once.

    Raises DataError: a folder of a table format, whose files alone don't say what is there.
    """
    if _is_file(path):
        return [path]
    found = (file for one in braces(path) for file in sorted(_match(one, format)))
    return list(dict.fromkeys(found))


def left_out(path: str, format: Format) -> list[str]:
    """Of a folder, the files that `find` leaves out as their names end otherwise."""
    if glob.has_magic(path) or _is_file(path) or not epath.Path(path).is_dir():
        return []
    return [file for file in _below(path) if not _fits(file, format)]


def partitions(file: str) -> dict[str, str | None]:
    """Column → value, from folders that are called COLUMN=VALUE (Hive's partitions)."""
    found: dict[str, str | None] = {}
    for name in file.replace(os.sep, "/").split("/")[:-1]:
        column, separator, value = name.partition("=")
        if separator and column:
            value = urllib.parse.unquote(value)
            found[urllib.parse.unquote(column)] = None if value in (NULL, "") else value
    return found


def name_of(file: str) -> str:
    """A file's name, with the folders before it that hold a value."""
    *folders, name = file.replace(os.sep, "/").split("/")
    held = [folder for folder in folders if folder.partition("=")[0] and "=" in folder]
    return "/".join([*held, name])


def braces(pattern: str) -> list[str]:
    """The alternatives of a pattern with {a,b}, as in a shell, in order."""
    depth, start, cuts = 0, -1, list[int]()
    for at, letter in enumerate(pattern):
        if letter == "{":
            depth += 1
            if depth == 1:
                start, cuts = at, [at]
        elif letter == "," and depth == 1:
            cuts.append(at)
        elif letter == "}" and depth:
            depth -= 1
            if depth == 0 and len(cuts) > 1:
                ends = [*cuts[1:], at]
                parts = [pattern[a + 1 : b] for a, b in zip(cuts, ends, strict=True)]
                rest = pattern[at + 1 :]
                return [one for part in parts for one in braces(pattern[:start] + part + rest)]
    return [pattern]


def _match(pattern: str, format: Format) -> Iterable[str]:
    if not glob.has_magic(pattern):
        if _is_file(pattern):
            return [pattern]
        return _folder(pattern, format) if epath.Path(pattern).is_dir() else []
    root, parts = _divide(pattern)
    files, folders = list[str](), list[str]()
    for path, is_folder in _expand(root, parts):
        if not is_folder:
            files += [] if _MARKER.fullmatch(_last(path)) else [path]
        elif path != root:
            folders.append(path)
    if files or parts[-1] == "**":
        return files
    return [file for folder in folders for file in _folder(folder, format)]


def _divide(pattern: str) -> tuple[str, list[str]]:
    """The folder before the first part with a wildcard, and the parts from there on."""
    scheme, separator, rest = pattern.partition("://")
    scheme, rest = (f"{scheme}{separator}", rest) if separator else ("", pattern)
    parts = rest.split("/")
    first = next(at for at, part in enumerate(parts) if glob.has_magic(part))
    root = "/".join(parts[:first])
    if not scheme and not root and pattern.startswith("/"):
        root = "/"
    return scheme + root, [part for part in parts[first:] if part]


def _expand(folder: str, parts: list[str]) -> Iterator[tuple[str, bool]]:
    """(path, whether it is a folder) of what matches the parts below a folder."""
    part, *others = parts
    if part == "**":
        if others:
            yield from _expand(folder, others)
        for path, is_folder in _entries(folder):
            if is_folder and _last(path)[0] not in "._":
                yield from _expand(path, parts)
            elif not is_folder and not others and not _last(path).startswith("."):
                yield path, False
        return
    for path, is_folder in _entries(folder):
        name = _last(path)
        hidden = name.startswith(".") and not part.startswith(".")
        if hidden or not fnmatch.fnmatchcase(name, part):
            continue
        if not others:
            yield path, is_folder
        elif is_folder:
            yield from _expand(path, others)


def _folder(folder: str, format: Format) -> list[str]:
    """The files of a folder, and of its folders, that the format reads."""
    for name, kind in _TABLES.items():
        if epath.Path(folder, name).is_dir():
            raise DataError(
                f"{folder} is a table of {kind}, whose files alone don't say which rows are there:"
                " write its rows to Parquet files, and give these"
            )
    return [file for file in _below(folder) if _fits(file, format)]


def _below(folder: str) -> Iterator[str]:
    for path, _ in _expand(folder.rstrip("/") or "/", ["**"]):
        if not _MARKER.fullmatch(_last(path)):
            yield path


def _fits(file: str, format: Format) -> bool:
    name = _last(file).lower()
    for packed in PACKED:
        name = name.removesuffix(packed)
    return name.endswith(SUFFIXES.get(type(format), ()))


def _entries(folder: str) -> list[tuple[str, bool]]:
    """(path, whether it is a folder) of what lies in a folder; nothing where there is none."""
    if "://" not in folder:
        if not os.path.isdir(folder or "."):
            return []
        with os.scandir(folder or ".") as entries:
            return sorted((os.path.join(folder, entry.name), entry.is_dir()) for entry in entries)
    files, root = _remote(folder)
    scheme = folder.partition("://")[0]
    try:
        listed = files.ls(root, detail=True, refresh=True)
    except FileNotFoundError:
        return []
    found = [
        (f"{scheme}://{entry['name'].rstrip('/')}", entry["type"] == "directory")
        for entry in listed
        if entry["name"].strip("/") != root.strip("/")  # the mark of an empty folder
    ]
    return sorted(found)


@functools.cache
def _system(scheme: str):
    import fsspec  # needs the extra `gcs`

    return fsspec.filesystem({"gs": "gcs"}.get(scheme, scheme))


def _remote(folder: str):
    scheme, _, root = folder.partition("://")
    return _system(scheme), root


def _is_file(path: str) -> bool:
    found = epath.Path(path)
    return found.exists() and not found.is_dir()


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]
