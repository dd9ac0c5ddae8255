"""Dataset → batches, with one global integer as the position (docs/input.md).

Training batch i is a pure function of (datasets, seed, i), whatever the number of devices,
processes, readers or restarts: examples i·B … (i+1)·B of an endless shuffled sequence.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import grain
import numpy as np
from absl import flags

from podway.framework.error import check
from podway.framework.input import join, mixture, packing
from podway.framework.input.columns import Arrays, Ragged, concatenate, elapsed
from podway.framework.input.dataset import Dataset
from podway.framework.input.epochs import Epochs
from podway.framework.schema.schema import OUT_OF_VOCABULARY, PADDING, Schema

__all__ = [
    "Arrays",
    "Dataset",
    "Ragged",
    "RowBatch",
    "TrainBatches",
    "batch_shapes",
    "evaluation_batches",
    "read_ahead",
    "row_batches",
]

READ_AHEAD = 4
"""Batches that lie ready in memory, beside those that each reader is at."""
PLACED_AHEAD = 2
"""Batches that lie ready on the devices."""


class TrainBatches:
    """Batch i of the endless training sequence, by index: a Grain data source.

    Args:
      dataset: where to read from.
      lengths: columns to read; for ragged ones how many of their values. "item.genres" reads the
        attribute `genres` of each item (framework/input/join.py).
      batch_size: examples in the global batch.
      steps: the length that the sequence shall have.
      seed: of the shuffle.
      window: blocks among whose rows are shuffled.
      crop: "latest" values of longer rows, or a "random" stretch, another one in each epoch.
      readers: threads that read blocks and prepare batches.
      rows: the parts (start, stop) of the global batch to read; None: all of it.
      others: further datasets to mix in, each with its weight relative to the first one's 1.
      share: of the rows that are read, of `dataset` and of the others.
      pack: whether an example is a row of several histories, with the column packing.SEGMENT.

    Raises:
      ConfigError: a dataset has no training examples, or the others don't fit the first one.
      SchemaError: a column that the dataset does not have.
    """

    def __init__(
        self,
        dataset: Dataset,
        lengths: Mapping[str, int],
        *,
        batch_size: int,
        steps: int,
        seed: int,
        window: int,
        crop: str = "latest",
        readers: int = 1,
        rows: Sequence[tuple[int, int]] | None = None,
        others: Sequence[tuple[Dataset, float]] = (),
        share: float = 1.0,
        pack: bool = False,
    ):
        # What another process needs to make the same object.
        self._arguments = {name: value for name, value in locals().items() if name != "self"}
        self._batch_size, self._steps, self.readers = batch_size, steps, readers
        self._rows = ((0, batch_size),) if rows is None else tuple(rows)
        own = {name: length for name, length in lengths.items() if not join.is_joined(name)}
        options: Any = {"seed": seed, "window": window, "crop": crop, "readers": readers}
        options |= {"at_once": (readers + READ_AHEAD) * batch_size, "pack": pack, "share": share}
        self._examples: Epochs | mixture.Mixture = Epochs(dataset, own, **options)
        if others:
            mixed = [self._examples]
            for other, _ in others:
                translations = mixture.translations(other, dataset, own)
                mixed.append(Epochs(other, own, translations=translations, **options))
            self._examples = mixture.Mixture(mixed, [1.0, *(weight for _, weight in others)])
        self._attribute_tables = join.attribute_tables(dataset, lengths)

    def __reduce__(self):
        return functools.partial(TrainBatches, **self._arguments), ()

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, index: int) -> Arrays:
        """Batch `index`, shaped as `batch_shapes` says; not to be changed."""
        start = index * self._batch_size
        parts = [self._examples.read(start + first, start + last) for first, last in self._rows]
        batch = concatenate(parts)
        return batch | {name: table(batch) for name, table in self._attribute_tables.items()}


def batch_shapes(
    schema: Schema, lengths: Mapping[str, int], batch_size: int, *, pack: bool = False
) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shape and dtype of each column of a training batch.

    [batch_size], then the length of a ragged column, then the shape of one value; a joined column
    has the shape of its ids, then that of its attribute. Lists of times are i32, as columns.elapsed
    says. `pack` is that of TrainBatches.

    Raises:
      ConfigError: a column that the devices cannot hold.
      SchemaError: a column that the dataset does not have.
    """
    shapes = {}
    for name, length in lengths.items():
        outer, feature = (batch_size,), schema[name] if not join.is_joined(name) else None
        if feature is None:
            key, feature = join.split(schema, lengths, name)
            outer += (lengths[key.name],) * key.ragged
        times = feature.role == "time" and feature.ragged
        check(
            feature.dtype != "int64" or times,
            f"the model reads {name}, which is int64, and devices compute with 32 bits:"
            " read a feature made from it (Gap, Cyclical, Numeric)",
        )
        shapes[name] = (
            (*outer, *((length,) * feature.ragged), *feature.shape),
            np.dtype(np.int32 if times else feature.dtype),
        )
    if pack:
        own = {name: length for name, length in lengths.items() if not join.is_joined(name)}
        length = packing.row_length(own, {name: schema[name].ragged for name in own})
        shapes[packing.SEGMENT] = (batch_size, length), np.dtype(np.int32)
    return shapes


def read_ahead(
    batches: TrainBatches,
    position: int,
    *,
    processes: int = 0,
    place: Callable[[Arrays], Any] | None = None,
) -> grain.DatasetIterator:
    """Batches from `position` (in batches) on, prepared in the background until it is closed.

    Args:
      batches: what to read; its `readers` threads work on several batches at a time.
      position: the first batch.
      processes: worker processes to spread the batches over, instead of threads in this one.
      place: puts a batch on the devices; called in the background too, and waited for.
    """
    options = grain.ReadOptions(batches.readers, batches.readers + READ_AHEAD)
    data = grain.MapDataset.source(batches)[position:].to_iter_dataset(options)
    if processes:
        flags.FLAGS.mark_as_parsed()  # Grain reads its own there, of a command line we don't parse
        data = data.mp_prefetch(grain.MultiprocessingOptions(processes, READ_AHEAD))
    if place:
        data = data.map(place)
        data = grain.experimental.ThreadPrefetchIterDataset(data, prefetch_buffer_size=PLACED_AHEAD)
    iterator = iter(data)
    iterator.start_prefetch()
    return iterator


def evaluation_batches(
    dataset: Dataset, split: str, *, history: int, batch_size: int, times: bool = False
) -> Iterator[Arrays]:
    """All examples of a split in the order of the shards, in batches of one shape.

    Yields {"history": i32 [batch_size, history] (padded at the end), "target": i32 [batch_size],
    "valid": bool [batch_size]}, and with `times` "time": i32 [batch_size, history], those of the
    history's events as columns.elapsed says; the rows that fill up the last batch are not valid.
    Where training never saw OUT_OF_VOCABULARY, it is left out of histories, as the served model
    does.
    """
    blocks = dataset.blocks(split)
    unseen = dataset.head("item", OUT_OF_VOCABULARY + 1).counts[OUT_OF_VOCABULARY] == 0
    waiting: Arrays = {}
    for index in range(len(blocks.rows)):
        columns = blocks.read(np.array([index]), ["item", "target", *["time"] * times])
        item, target = columns["item"], columns["target"]
        assert isinstance(item, Ragged)
        assert isinstance(target, np.ndarray)
        lists, stay = {"history": item}, item.values != OUT_OF_VOCABULARY
        if times:
            time = columns["time"]
            assert isinstance(time, Ragged)
            lists["time"] = elapsed(time)
        rows = np.arange(len(target))
        part = {"target": target, "valid": rows >= 0}
        for name, column in lists.items():
            part[name] = (column.where(stay) if unseen else column).latest(history, rows)[:]
        waiting = concatenate([waiting, part] if waiting else [part])
        while waiting and len(waiting["valid"]) >= batch_size:
            yield {name: array[:batch_size] for name, array in waiting.items()}
            waiting = {name: array[batch_size:] for name, array in waiting.items()}
    if waiting and (missing := batch_size - len(waiting["valid"])) < batch_size:
        yield {
            name: np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1))
            for name, array in waiting.items()
        }


class RowBatch(NamedTuple):
    """Rows of a split.

    Attributes:
      columns: as TrainBatches reads them, of the whole batch.
      valid: which rows are there, bool [batch_size]; only the last batch has others, of PADDING.
    """

    columns: Arrays
    valid: np.ndarray


def row_batches(
    dataset: Dataset, split: str, lengths: Mapping[str, int], batch_size: int
) -> Iterator[RowBatch]:
    """All rows of a split in the order of its shards.

    Args:
      dataset: where to read from.
      split: of the dataset.
      lengths: columns to read, as TrainBatches takes them; of longer lists the latest values.
      batch_size: rows of each batch.

    Raises SchemaError: a column that the dataset does not have.
    """
    tables = join.attribute_tables(dataset, lengths)
    for rows, valid in _own(dataset, split, lengths, batch_size):
        joined = {name: table(rows) for name, table in tables.items()}
        yield RowBatch(rows | joined, valid)


def _own(
    dataset: Dataset, split: str, lengths: Mapping[str, int], batch_size: int
) -> Iterator[tuple[Arrays, np.ndarray]]:
    """The columns that no table is joined for."""
    names = [name for name in lengths if not join.is_joined(name)]
    blocks = dataset.blocks(split)
    waiting: list[Arrays] = []
    count, full = 0, np.ones(batch_size, bool)
    for index in range(len(blocks.rows)):
        waiting.append(fixed(blocks.read(np.array([index]), names), lengths))
        count += int(blocks.rows[index])
        if count < batch_size:
            continue
        joined = concatenate(waiting)
        for start in range(0, count - batch_size + 1, batch_size):
            yield (
                {name: column[start : start + batch_size] for name, column in joined.items()},
                full,
            )
        count %= batch_size
        waiting = [{name: column[len(column) - count :] for name, column in joined.items()}]
    if count:
        rows = concatenate(waiting)
        missing = batch_size - count
        yield (
            {
                name: np.pad(
                    column, [(0, missing)] + [(0, 0)] * (column.ndim - 1), constant_values=PADDING
                )
                for name, column in rows.items()
            },
            np.arange(batch_size) < count,
        )


def fixed(columns: Mapping[str, np.ndarray | Ragged], lengths: Mapping[str, int]) -> Arrays:
    """Columns as arrays of one shape: of lists the latest values."""
    return {
        name: column.latest(lengths[name], np.arange(len(column.offsets) - 1))[:]
        if isinstance(column, Ragged)
        else column
        for name, column in columns.items()
    }
