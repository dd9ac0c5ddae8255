"""What one flush lands: messages that were polled and not yet committed."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from podway.framework.config.online import Lander
from podway.online.lander import shard
from podway.online.lander.door import Door
from podway.online.lander.parse import parse
from podway.online.lander.shard import OFFSET, Range, Written
from podway.online.lander.sift import Sifted, sift
from podway.online.queue.run import Run

PARTITION = "partition"
"""The column, beside OFFSET, that is not written."""
_LONG = 100
"""Rows of pieces that are worth their while."""


@dataclasses.dataclass(frozen=True)
class Batch:
    """Messages of one poll, as events.

    Attributes:
      table: the events, with PARTITION and OFFSET.
      dead: (run, which message of it, the kind of what is wrong with it, the reason).
      late: how many of the events are late.
    """

    table: pa.Table
    dead: Sequence[tuple[Run, int, str, str]]
    late: int


def batch(runs: Sequence[Run], door: Door, config: Lander) -> Batch:
    """Reads the messages of one poll."""
    sizes = [len(run) for run in runs]
    published = np.concatenate([np.array(run.published, np.float64) for run in runs])
    values = list(itertools.chain.from_iterable(run.values for run in runs))
    found: Sifted = sift(parse(values, door), published, config)
    partitions = np.repeat(np.array([run.partition for run in runs], np.int32), sizes)
    offsets = np.concatenate([np.array(run.offsets, np.int64) for run in runs])
    table = found.table.append_column(PARTITION, pa.array(partitions[found.rows]))
    table = table.append_column(OFFSET, pa.array(offsets[found.rows]))
    ends = np.cumsum(sizes)
    dead = []
    for at, kind, why in found.dead:
        of = int(np.searchsorted(ends, at, "right"))
        dead.append((runs[of], at - int(ends[of]) + sizes[of], kind, why))
    return Batch(table, dead, found.late)


def land(
    root: str, topic: str, table: pa.Table, ranges: Mapping[int, Range], seen: set[tuple[int, int]]
) -> list[Written]:
    """Writes a load: a shard for each partition and hour.

    Args:
      root: folder of all hours.
      topic: that the messages are of.
      table: as in Batch.
      ranges: by partition, the messages of the load; empty: they have no offsets.
      seen: (partition, hour) of which this lander has the latest shard; grows.

    Raises:
      OSError: something cannot be written. The call can be repeated.
    """
    hours = shard.hours(table)
    partitions = table[PARTITION].to_numpy() if ranges else np.zeros(len(table), np.int32)
    offsets = table[OFFSET].to_numpy() if ranges else np.arange(len(table))
    order = np.lexsort((offsets, hours, partitions))
    table = _taken(table.drop_columns([PARTITION]), order)
    hours, partitions, offsets = hours[order], partitions[order], offsets[order]
    # A partition that was another's for a moment has some of its messages twice.
    once = np.append(True, (np.diff(offsets) != 0) | (np.diff(partitions) != 0))[: len(table)]
    if not once.all():
        table = table.filter(pa.array(once))
        hours, partitions = hours[once], partitions[once]
    changes = np.flatnonzero((np.diff(hours) != 0) | (np.diff(partitions) != 0)) + 1
    written = []
    for start, end in zip([0, *changes], [*changes, len(table)], strict=True):
        if start == end:
            continue
        part, hour = table.slice(start, end - start), int(hours[start])
        if not ranges:
            written.append(shard.land_by_ids(root, hour, topic, part.drop_columns([OFFSET])))
            continue
        partition = int(partitions[start])
        place = partition, hour
        written.append(shard.land(root, hour, ranges[partition], part, place not in seen))
        seen.add(place)
    return written


def _taken(table: pa.Table, order: np.ndarray) -> pa.Table:
    """The rows in an order. What a queue delivers lies in long pieces as it is to be: those need
    not be copied."""
    begins = np.flatnonzero(np.diff(order, prepend=-2) != 1)
    if len(begins) * _LONG > len(order):
        return table.take(pa.array(order))
    ends = np.append(begins[1:], len(order))
    pieces = [
        table.slice(int(order[begin]), int(end - begin))
        for begin, end in zip(begins, ends, strict=True)
    ]
    return pa.concat_tables(pieces) if pieces else table
