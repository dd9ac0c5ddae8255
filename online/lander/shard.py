"""Writes shards: whole, durable, and none of them twice.

A shard's footer says which offsets it answers for. What was landed by a lander that died before it
could commit is delivered again, perhaps cut into other batches: the rows that a shard of the hour
answers for are left out then.
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
from etils import epath

from podway.framework import artifact
from podway.online.error import OnlineError
from podway.online.lander import place

pc: Any = pyarrow.compute  # which makes its functions when it is imported

_KEY = b"podway"
OFFSET = "offset"
"""The column that is not written: where in its partition an event was."""


@dataclasses.dataclass(frozen=True)
class Range:
    """Messages of one partition, one after the other.

    Attributes:
      topic: that they are of.
      partition: of the topic.
      first: offset of the first one.
      last: offset of the last one.
    """

    topic: str
    partition: int
    first: int
    last: int


@dataclasses.dataclass(frozen=True)
class Written:
    """What became of some rows.

    Attributes:
      path: of the new shard; "": all rows were there.
      rows: that it holds.
      bytes: its size.
      there: rows that other shards answer for.
    """

    path: str = ""
    rows: int = 0
    bytes: int = 0
    there: int = 0


def land(root: str, hour: int, of: Range, table: pa.Table, look: bool) -> Written:
    """Writes the rows of an hour in a range of offsets, unless they are there.

    Args:
      root: folder of all hours.
      hour: since 1970.
      of: what the shard will answer for: of this range it has all rows of the hour.
      table: the rows, with OFFSET, in the order of their offsets.
      look: whether other shards of the hour may answer for some of the range.

    Raises:
      OSError: it cannot be written; nothing is there then, and the call can be repeated.
      OnlineError: a shard that is there cannot be read.
    """
    folder, rows = epath.Path(root) / place.folder(hour), len(table)
    while True:
        if look:
            for known in _answering(folder, of):
                offsets = table[OFFSET].to_numpy()
                table = table.filter(pa.array((offsets < known.first) | (offsets > known.last)))
                if known.first <= of.first:
                    of = dataclasses.replace(of, first=max(of.first, known.last + 1))
            if not len(table):
                return Written(there=rows)
        path = folder / place.by_offset(of.topic, of.partition, of.first)
        content = encode(table.drop_columns([OFFSET]), of)
        if artifact.create(path, content):
            return Written(str(path), len(table), len(content), rows - len(table))
        look = True  # another lander was quicker


def land_by_ids(root: str, hour: int, topic: str, table: pa.Table) -> Written:
    """Writes the rows of an hour whose messages have no offsets. Raises OSError."""
    name = place.by_ids(topic, table["id"].to_pylist())
    path, content = epath.Path(root) / place.folder(hour) / name, encode(table, None)
    if artifact.create(path, content):
        return Written(str(path), len(table), len(content))
    return Written(there=len(table))


def encode(table: pa.Table, of: Range | None) -> bytes:
    """A Parquet file; its footer says what it answers for."""
    told = json.dumps(dataclasses.asdict(of) if of else {}, separators=(",", ":"))
    sink = pa.BufferOutputStream()
    often: Any = [name for name in ("type", "user", "item") if name in table.column_names]
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd",
        use_dictionary=often,
        store_schema=False,
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({_KEY.decode(): told})
    return sink.getvalue().to_pybytes()


def _answering(folder: epath.Path, of: Range) -> Sequence[Range]:
    """The ranges of shards of the same partition that meet this one, in falling order."""
    found: list[Range] = []
    if not folder.exists():
        return found
    firsts = [place.first_of(path.name, of.topic, of.partition) for path in folder.iterdir()]
    for first in sorted({first for first in firsts if first is not None}, reverse=True):
        if first > of.last:
            continue
        known = range_of(folder / place.by_offset(of.topic, of.partition, first))
        if known.last >= of.first:
            found.append(known)
        if first <= of.first:
            break
    return found


def range_of(path: epath.Path) -> Range:
    """What a shard answers for. Raises OnlineError: it is none of ours."""
    try:
        with path.open("rb") as file:
            metadata = pq.read_metadata(file).metadata or {}
        return Range(**json.loads(metadata[_KEY]))
    except (pa.ArrowException, KeyError, ValueError, TypeError) as error:
        raise OnlineError(
            f"{path} is no shard that a lander wrote ({error}); move it elsewhere, so that the"
            " lander can go on"
        ) from None


def hours(table: pa.Table) -> np.ndarray:
    """The hour of each row, since 1970."""
    return pc.cast(table["time"], pa.int64()).to_numpy() // place.HOUR
