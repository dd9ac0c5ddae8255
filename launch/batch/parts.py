"""A Parquet file that is made in parts: killed at any time, it goes on with the next part.

x.parquet.parts/plan.json          what is asked, so that no part of another question is taken
x.parquet.parts/part-00003.parquet whole, or not there
x.parquet                          all parts, put there at once when the last one is done
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import shutil
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from podway.framework import artifact, codec
from podway.launch.loaded.error import RequestError, require

_METADATA = b"podway"


class Made(NamedTuple):
    """A file: its rows, and the histories without an item that the model knows, which have none."""

    rows: int
    unanswered: int


class Parts:
    """The parts of one file, of which this process alone makes some (see `opened`)."""

    def __init__(self, output: pathlib.Path, question: Any):
        self._output, self._question = output, question
        self._folder = output.with_name(f"{output.name}.parts")

    def is_done(self, number: int) -> bool:
        """Whether a part is there and whole."""
        try:
            pq.read_metadata(self._part(number))
        except (FileNotFoundError, pa.ArrowInvalid):
            return False
        return True

    def write(self, number: int, table: pa.Table, unanswered: int) -> None:
        """Puts a part there, whole, and with it how many histories have no rows in it."""
        table = table.replace_schema_metadata({_METADATA: str(unanswered)})
        with _atomically(self._part(number)) as path:
            pq.write_table(table, path, compression="zstd")

    def publish(self, count: int) -> Made:
        """Makes the file of all parts, and removes them."""
        unanswered = sum(
            int((pq.read_metadata(self._part(number)).metadata or {})[_METADATA])
            for number in range(count)
        )
        about = json.dumps({"question": self._question, "unanswered": unanswered})
        rows = 0
        with _atomically(self._output) as path, contextlib.ExitStack() as stack:
            writer = None
            for number in range(count):
                table = pq.read_table(self._part(number))
                if writer is None:
                    schema = table.schema.with_metadata({_METADATA: about})
                    writer = stack.enter_context(pq.ParquetWriter(path, schema, compression="zstd"))
                writer.write_table(table.cast(writer.schema))
                rows += len(table)
        shutil.rmtree(self._folder)
        return Made(rows, unanswered)

    def _part(self, number: int) -> pathlib.Path:
        return self._folder / f"part-{number:05}.parquet"


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
    different = codec.difference(question, json.loads(about)["question"])
    require(
        different is None,
        f"{output} is there, of another question: {different}; remove it, or give another --output",
    )
    return True


@contextlib.contextmanager
def opened(output: pathlib.Path, question: Any) -> Iterator[Parts]:
    """The parts that are there or will be, for this process alone.

    Raises RequestError: another process makes them, or they are of another question.
    """
    folder = output.with_name(f"{output.name}.parts")
    require(
        output.parent.is_dir(), f"--output {output}: there is no folder {output.parent}; make it"
    )
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise RequestError(
                f"{output} is being made by another process ({lock.read().strip()}); wait for it,"
                " or end it"
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()}")
        lock.flush()
        plan = folder / "plan.json"
        if plan.exists():
            different = codec.difference(question, json.loads(plan.read_text()))
            require(
                different is None,
                f"{folder} has parts of another question: {different}; remove it, or give another"
                " --output",
            )
        else:
            artifact.write_atomically(plan, json.dumps(question))
        yield Parts(output, question)


@contextlib.contextmanager
def _atomically(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """A path to write, which takes the target's place when the block ends well."""
    path = target.with_name(f".{target.name}-{uuid.uuid4().hex[:8]}")
    try:
        yield path
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.replace(target)
    finally:
        path.unlink(missing_ok=True)
