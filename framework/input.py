"""Dataset shards → batches, with one global integer as the position.

Batch i is a pure function of (dataset, seed, i), whatever the number of devices, processes or
restarts: rows i·B … (i+1)·B of an endless sequence of shuffled epochs. Blocks are permuted over the
epoch; rows are permuted within windows of a few consecutive blocks, the only ones held in memory.
The global shuffle itself happened in the data stage. Grain reads ahead.
"""

import dataclasses
import functools
import threading
from collections.abc import Iterator, Mapping

import grain
import numpy as np
import pyarrow as pa
from etils import epath

from framework import artifact
from framework.schema import PADDING, Schema, Vocabulary

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Ragged:
    """A list per row: row r holds values[offsets[r]:offsets[r + 1]]."""

    values: np.ndarray
    offsets: np.ndarray

    def stretch(self, rows: np.ndarray, length: int, back: np.ndarray | float = 0) -> np.ndarray:
        """`length` values in a row of each row, padded at the end: [rows, length].

        `back`, from 0 to below 1, says how far back of the latest stretch, in shares of what is
        longer than `length`.
        """
        begin, end = self.offsets[rows], self.offsets[rows + 1]
        end = end - (back * (np.maximum(end - begin - length, 0) + 1)).astype(np.int64)
        start = np.maximum(begin, end - length)
        at = start[:, None] + np.arange(length)
        inside = at < end[:, None]
        if not len(self.values):
            return np.full(at.shape, PADDING, self.values.dtype)
        return np.where(inside, self.values[np.minimum(at, len(self.values) - 1)], PADDING)


Columns = dict[str, np.ndarray | Ragged]


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A committed dataset, opened for reading."""

    directory: epath.Path
    manifest: artifact.Manifest
    schema: Schema

    @classmethod
    def open(cls, directory: epath.PathLike) -> "Dataset":
        """Checks the manifest and all hashes. Raises artifact.ArtifactError."""
        directory = epath.Path(directory)
        manifest = artifact.read(directory, "dataset")
        return cls(directory, manifest, Schema.read(directory / "schema.json"))

    def vocabulary(self, feature: str) -> Vocabulary:
        """The vocabulary of a feature."""
        return Vocabulary.read(self.directory / "vocabulary" / f"{feature}.jsonl")

    def examples(self, split: str) -> int:
        """Number of examples in a split."""
        return self.manifest.details["splits"][split]["examples"]

    def blocks(self, split: str) -> "Blocks":
        """The columnar blocks of a split."""
        return Blocks(self, split)


class Blocks:
    """The columnar blocks of one split: `rows[i]` is the size of block i."""

    def __init__(self, dataset: Dataset, split: str):
        shards = [s for s in dataset.manifest.details["splits"][split]["shards"] if s["blocks"]]
        self.rows = np.array([rows for shard in shards for rows in shard["blocks"]], np.int64)
        paths = [str(dataset.directory / shard["path"]) for shard in shards]
        self._source = grain.sources.ArrayRecordDataSource(paths) if paths else ()

    def read(self, indices: np.ndarray) -> Columns:
        """Blocks, concatenated, as NumPy columns."""
        batches = [batch for i in indices for batch in pa.ipc.open_stream(self._source[int(i)])]
        table = pa.Table.from_batches(batches).combine_chunks()
        return {name: _column(table[name]) for name in table.column_names}


def _column(column: pa.ChunkedArray) -> np.ndarray | Ragged:
    array = column.chunk(0)
    if not pa.types.is_list(array.type):
        return array.to_numpy()
    offsets = array.offsets.to_numpy().astype(np.int64)
    return Ragged(array.values.to_numpy(), offsets)


class TrainBatches:
    """Batch i of the endless training sequence, by index: a Grain data source.

    Args:
      dataset: where to read from.
      lengths: columns to read; for ragged ones how many of their values.
      batch_size: examples in the global batch.
      steps: the length that the sequence shall have.
      seed: of the shuffle.
      window: blocks among whose rows are shuffled.
      crop: "latest" values of longer rows, or a "random" stretch, another one in each epoch.
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
    ):
        self._blocks = dataset.blocks("train")
        self._lengths, self._batch_size, self._steps = dict(lengths), batch_size, steps
        self._seed, self._window, self._crop = seed, window, crop
        self._examples = int(self._blocks.rows.sum())
        if not self._examples:
            raise ValueError(f"{dataset.directory} has no training examples")
        self._lock = threading.Lock()
        # Two epochs and two windows: a batch can lie across a border.
        self._epoch = functools.lru_cache(2)(self._order_blocks)
        self._load = functools.lru_cache(2)(self._load_window)

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, index: int) -> Arrays:
        """Batch `index`: {column: [batch_size] or [batch_size, length]}."""
        parts, position = [], index * self._batch_size
        end = position + self._batch_size
        while position < end:
            epoch, offset = divmod(position, self._examples)
            with self._lock:
                _, starts = self._epoch(epoch)
                window = int(np.searchsorted(starts, offset, side="right")) - 1
                columns, order, back = self._load(epoch, window)
            first = offset - starts[window]
            rows = order[first : first + end - position]
            parts.append(_take(columns, rows, self._lengths, back[rows]))
            position += len(rows)
        return {name: np.concatenate([part[name] for part in parts]) for name in self._lengths}

    def _order_blocks(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The epoch's order of blocks, and the row at which each of its windows starts."""
        order = np.random.default_rng((self._seed, epoch)).permutation(len(self._blocks.rows))
        ends = np.cumsum(self._blocks.rows[order])
        return order, np.concatenate([[0], ends[self._window - 1 : -1 : self._window]])

    def _load_window(self, epoch: int, window: int) -> tuple[Columns, np.ndarray, np.ndarray]:
        """A window's columns, the order in which its rows come, and how far back each is read."""
        order, _ = self._epoch(epoch)
        blocks = order[window * self._window : (window + 1) * self._window]
        rows = int(self._blocks.rows[blocks].sum())
        generator = np.random.default_rng((self._seed, epoch, window))
        order = generator.permutation(rows)
        back = generator.random(rows) if self._crop == "random" else np.zeros(rows)
        return self._blocks.read(blocks), order, back


def _take(
    columns: Columns, rows: np.ndarray, lengths: Mapping[str, int], back: np.ndarray | float = 0
) -> Arrays:
    taken = {}
    for name, length in lengths.items():
        column = columns[name]
        taken[name] = (
            column.stretch(rows, length, back) if isinstance(column, Ragged) else column[rows]
        )
    return taken


def read_ahead(batches: TrainBatches, position: int) -> Iterator[Arrays]:
    """Batches from `position` (in batches) on, prepared by a thread in the background."""
    options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)
    return iter(grain.MapDataset.source(batches)[position:].to_iter_dataset(options))


def evaluation_batches(
    dataset: Dataset, split: str, *, history: int, batch_size: int
) -> Iterator[Arrays]:
    """All examples of a split in the order of the shards, in batches of one shape.

    Yields {"history": i32 [batch_size, history] (padded at the end), "target": i32 [batch_size],
    "valid": bool [batch_size]}; the rows that fill up the last batch are not valid.
    """
    blocks = dataset.blocks(split)
    waiting: Arrays = {}
    for index in range(len(blocks.rows)):
        columns = blocks.read(np.array([index]))
        rows = np.arange(blocks.rows[index])
        taken = _take(columns, rows, {"item": history, "target": 1})
        part = {"history": taken["item"], "target": taken["target"], "valid": rows >= 0}
        waiting = {k: np.concatenate([waiting[k], part[k]]) if waiting else part[k] for k in part}
        while waiting and len(waiting["valid"]) >= batch_size:
            yield {name: array[:batch_size] for name, array in waiting.items()}
            waiting = {name: array[batch_size:] for name, array in waiting.items()}
    if waiting and (missing := batch_size - len(waiting["valid"])) < batch_size:
        yield {
            name: np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1))
            for name, array in waiting.items()
        }
