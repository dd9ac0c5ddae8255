"""One Parquet file instead of a folder: its parts in their order, and beside it who gets none."""

from __future__ import annotations

import contextlib
import json
import pathlib
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from podway.framework import artifact
from podway.launch.batch import folder as folders
from podway.launch.batch.folder import Folder
from podway.launch.loaded.error import require

_METADATA = b"podway"


def beside(output: pathlib.Path) -> pathlib.Path:
    """The folder that a file is made in."""
    return output.with_name(f"{output.name}.parts")


def rejected(output: pathlib.Path) -> pathlib.Path:
    """The file of who gets no answer."""
    return output.with_name(f"{output.stem}.rejected.parquet")


def answered(output: pathlib.Path, question: Any) -> bool:
    """Whether the file is there, of just this question. Raises RequestError: it is of another."""
    if not output.exists():
        return False
    try:
        about = (pq.read_metadata(output).metadata or {}).get(_METADATA)
    except pa.ArrowInvalid:
        about = None
    require(
        about is not None,
        f"{output} is there, and was not made by `podway predict`; give another --output",
    )
    assert about is not None
    there = json.loads(about)["question"]
    folders.refuse_another(str(output), question, there, "is there, of")
    return True


def join(folder: Folder, output: pathlib.Path, manifest: artifact.Manifest) -> None:
    """Makes the file of a folder that is whole."""
    names = [file.path for file in manifest.files]
    without = [name for name in names if name.startswith(f"{folders.REJECTED}/")]
    if without:
        _write(folder, without, rejected(output), {})
    about = {"question": manifest.config, **manifest.details}
    _write(folder, [name for name in names if name not in without], output, about)


def _write(folder: Folder, names: list[str], target: pathlib.Path, about: dict[str, Any]) -> None:
    """Part after part, so that memory holds one."""
    with folders.replaced(target) as file, contextlib.ExitStack() as end:
        writer = None
        for name in sorted(names):
            table = pq.read_table(folder.path / name)
            if writer is None:
                more = {_METADATA: json.dumps(about)}
                schema = table.schema.with_metadata({**(table.schema.metadata or {}), **more})
                writer = end.enter_context(pq.ParquetWriter(file, schema, compression="zstd"))
            writer.write_table(table.cast(writer.schema), row_group_size=max(len(table), 1))
