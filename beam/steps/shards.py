"""Examples → one ArrayRecord file: each record is a columnar block, an Arrow IPC stream."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from array_record.python.array_record_module import ArrayRecordWriter
from etils import epath

from podway.beam.steps.split import Events, Examples, histories

OPTIONS = "group_size:1,zstd:1"
"""One block per chunk, so that reading it reads no other; level 1 writes twice as fast as 3."""


def write(path: epath.Path, batch: pa.RecordBatch, block_rows: int) -> list[int]:
    """Writes examples in blocks of at most `block_rows`.

    Returns:
      The number of examples in each block.

    Raises:
      OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if "://" not in str(path):
        return _write_local(str(path), batch, block_rows)
    # ArrayRecord writes local files only.
    with tempfile.NamedTemporaryFile() as local, path.open("wb") as remote:
        rows = _write_local(local.name, batch, block_rows)
        shutil.copyfileobj(local, remote)
    return rows


def of_sequences(
    users: np.ndarray, events: Events, columns: Mapping[str, Any], examples: Examples
) -> pa.RecordBatch:
    """An example per user: "user" int32, a list per column; with targets: target, target_time.

    Args:
      users: int32 id of each of the events' users.
      events: where they are.
      columns: values per event, among them "item" (int32) and "time" (int64).
      examples: which events they are made of.
    """
    offsets = pa.array(np.concatenate([[0], np.cumsum(examples.length)]).astype(np.int32))
    mask = pa.array(histories(events, examples))
    arrays = {"user": pa.array(users[examples.user], pa.int32())}
    for name, values in columns.items():
        arrays[name] = pa.ListArray.from_arrays(offsets, pa.array(values).filter(mask))
    if examples.target is not None:
        arrays["target"] = pa.array(columns["item"][examples.target], pa.int32())
        arrays["target_time"] = pa.array(columns["time"][examples.target], pa.int64())
    return pa.RecordBatch.from_pydict(arrays)


def of_rows(columns: Mapping[str, Any], mask: np.ndarray) -> pa.RecordBatch:
    """An example per event of the mask, with all columns."""
    chosen = pa.array(mask)
    return pa.RecordBatch.from_pydict(
        {name: pa.array(values).filter(chosen) for name, values in columns.items()}
    )


def _write_local(path: str, batch: pa.RecordBatch, block_rows: int) -> list[int]:
    try:
        writer = ArrayRecordWriter(path, OPTIONS)
        for record in _records(batch, block_rows):
            writer.write(record)
        writer.close()
    except RuntimeError as error:  # what ArrayRecord raises, for a full disk too
        raise OSError(f"{path} cannot be written: {error}") from error
    starts = range(0, batch.num_rows, block_rows)
    return [min(block_rows, batch.num_rows - start) for start in starts]


def _records(batch: pa.RecordBatch, block_rows: int) -> Iterator[bytes]:
    for start in range(0, batch.num_rows, block_rows):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch.slice(start, block_rows))
        yield sink.getvalue().to_pybytes()
