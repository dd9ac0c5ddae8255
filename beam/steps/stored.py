"""What a dataset keeps so that it can be extended: its events, and the values behind fingerprints.

events/part-BBBBB-of-NNNNN.arrow    a bucket's events as split.arrange returns them, before the
                                    k-core, with a column that says whether it left them
values/NAME-PP.arrow                all (fingerprint, value) of part PP of a column of text
"""

import re
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from etils import epath

from podway.framework import artifact

FORMAT = 1
"""Of both kinds of files."""

KEPT = "k-core"
"""That column: true where the k-core left the event. No feature's name has a hyphen."""

OPTIONS = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", 1))


def write_events(
    stage: epath.PathLike, bucket: int, buckets: int, table: pa.Table, kept: pa.Array | None
) -> None:
    """Writes a bucket's events; `kept` None: all of them were. Raises OSError."""
    mask = pa.array(np.ones(len(table), bool)) if kept is None else kept
    path = epath.Path(stage) / "events" / f"part-{bucket:05}-of-{buckets:05}.arrow"
    _write(path, table.append_column(KEPT, mask))


def write_values(stage: epath.PathLike, name: str, part: int, table: pa.Table) -> None:
    """Writes (fingerprint, value) of one part of a column. Raises OSError."""
    _write(epath.Path(stage) / "values" / f"{name}-{part:02}.arrow", table)


def _write(path: epath.Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        path.open("wb") as file,
        pa.PythonFile(file, "w") as sink,
        pa.ipc.new_file(sink, table.schema, options=OPTIONS) as writer,
    ):
        writer.write_table(table)


def read(path: str) -> pa.Table:
    """What was written to one file, in one chunk. Raises OSError."""
    with epath.Path(path).open("rb") as file:
        return pa.ipc.open_file(pa.PythonFile(file, "r")).read_all()


def events(directory: str) -> Iterator[tuple[int, str]]:
    """(bucket, file) of a committed dataset."""
    for match, path in _files(directory, r"events/part-(\d+)-of-\d+\.arrow"):
        yield int(match[1]), path


def values(directory: str) -> Iterator[tuple[tuple[str, int], str]]:
    """((column, part), file) of a committed dataset."""
    for match, path in _files(directory, r"values/(.+)-(\d+)\.arrow"):
        yield (match[1], int(match[2])), path


def _files(directory: str, pattern: str) -> Iterator[tuple[re.Match[str], str]]:
    for file in artifact.read_manifest(directory, "dataset").files:
        if match := re.fullmatch(pattern, artifact.place(file.path)):
            yield match, str(artifact.resolve(directory, file.path))
