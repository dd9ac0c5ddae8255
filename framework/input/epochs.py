"""The endless training sequence of one dataset: shuffled epochs, read by position.

Example p is a pure function of (dataset, seed, p). An epoch is the dataset's blocks in a random
order, cut into windows of a few blocks; the rows of a window are permuted. A row is a row of the
dataset, or is packed from several of one block. All orders are seeded by
(seed, epoch, window), so any place can be entered directly. docs/input.md says how near to a true
shuffle this comes.
"""

import collections
import functools
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from podway.framework.error import ConfigError
from podway.framework.input import packing
from podway.framework.input.columns import Arrays, Ragged, Stretches, concatenate, elapsed
from podway.framework.input.dataset import Dataset

_SHARE = 0x5A4E
"""Begins the seed of the rows that a share is of: the same for all runs."""
Window = dict[str, np.ndarray | Stretches]
"""Columns with their rows in the order of the sequence."""


class Epochs:
    """The training examples of a dataset, shuffled anew in each epoch, without end.

    Args:
      dataset: where to read from.
      lengths: columns to read; for ragged ones how many of their values. Lists of times are given
        as columns.elapsed says.
      seed: of the shuffle.
      window: blocks among whose rows are shuffled.
      crop: "latest" values of longer rows, or a "random" stretch, another one in each epoch.
      readers: threads that read windows before they are needed.
      at_once: examples that are being read at a time, by all callers; sizes the cache.
      translations: new ids by old id, for columns whose vocabulary is another one here.
      share: of the rows that are read; of each block the same, and at least one.
      pack: whether an example is a row of several histories (framework/input/packing.py), with the
        column SEGMENT beside the others. Reads the train split once, to count such rows.
    """

    def __init__(
        self,
        dataset: Dataset,
        lengths: Mapping[str, int],
        *,
        seed: int,
        window: int,
        crop: str = "latest",
        readers: int = 1,
        at_once: int = 1,
        translations: Mapping[str, np.ndarray] | None = None,
        share: float = 1.0,
        pack: bool = False,
    ):
        self._blocks, self._lengths = dataset.blocks("train"), dict(lengths)
        self._rows, self._row_length = self._blocks.rows, 0
        self._share = share
        if share < 1:
            self._rows = np.ceil(share * self._rows).astype(np.int64)
        if pack:
            ragged = {name: dataset.schema[name].ragged for name in lengths}
            self._row_length = packing.row_length(lengths, ragged)
            self._rows = packing.count_rows(self._blocks, next(iter(lengths)), self._row_length)
        self._seed, self._window, self._crop = seed, window, crop
        self._translations = dict(translations or {})
        self._times = {name for name in lengths if dataset.schema[name].role == "time"}
        self.examples = int(self._rows.sum())
        if not self.examples:
            raise ConfigError(f"{dataset.directory} has no training examples")
        self._windows_per_epoch = -(-len(self._blocks.rows) // window)
        # A read can lie across the border of two epochs.
        self._order = functools.lru_cache(2)(self._order_blocks)
        spanned = -(-at_once * self._windows_per_epoch // self.examples)
        self._windows = _ReadAhead(self._load, readers, keep=readers + 1 + spanned)

    def read(self, start: int, stop: int) -> Arrays:
        """Examples `start` to `stop` (exclusive): {column: [rows] or [rows, length], …}.

        The arrays may be views of what other calls return: they must not be changed.
        """
        parts = []
        while start < stop:
            epoch, offset = divmod(start, self.examples)
            _, borders = self._order(epoch)
            number = int(np.searchsorted(borders, offset, side="right")) - 1
            window = self._windows[epoch * self._windows_per_epoch + number]
            first, last = (int(border) for border in borders[number : number + 2])
            taken = min(stop - start, last - offset)
            rows = slice(offset - first, offset - first + taken)
            parts.append({name: column[rows] for name, column in window.items()})
            start += taken
        return concatenate(parts)

    def _order_blocks(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The epoch's order of blocks, and the rows between which its windows lie."""
        order = self._generator(epoch, 0).permutation(len(self._blocks.rows))
        ends = np.cumsum(self._rows[order])
        inner = ends[self._window - 1 : -1 : self._window]
        return order, np.concatenate([[0], inner, ends[-1:]])

    def _load(self, index: int) -> Window:
        """Window `index` of the endless sequence."""
        epoch, number = divmod(index, self._windows_per_epoch)
        blocks = self._order(epoch)[0][number * self._window : (number + 1) * self._window]
        sizes = self._blocks.rows[blocks]
        generator = self._generator(epoch, 1 + number)
        columns, packed = self._blocks.read(blocks, list(self._lengths)), None
        if self._row_length:
            lengths = packing.history_lengths(columns)
            packed = packing.pack(lengths, sizes.tolist(), self._row_length, generator)
        if packed:
            rows = packed.order
        elif self._share < 1:
            rows = generator.permutation(self._chosen(blocks, sizes))
        else:
            rows = generator.permutation(int(sizes.sum()))
        back = generator.random(len(rows)) if self._crop == "random" else 0.0
        window: Window = {packing.SEGMENT: packed.segments()} if packed else {}
        for name, column in columns.items():
            if isinstance(column, Ragged):
                column = elapsed(column) if name in self._times else column
                values = self._translate(name, column.values)
                latest = Ragged(values, column.offsets).latest(self._lengths[name], rows, back)
                window[name] = packed.fill(latest[:]) if packed else latest
            else:
                window[name] = self._translate(name, column.take(rows, axis=0))
        return window

    def _chosen(self, blocks: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Places of the rows that are read, in blocks that lie one after the other. Of each block
        they are the first ones of an order of its own."""
        starts = np.cumsum(sizes) - sizes
        return np.concatenate(
            [
                start + np.random.default_rng((_SHARE, int(block))).permutation(size)[:count]
                for block, start, size, count in zip(
                    blocks, starts, sizes, self._rows[blocks], strict=True
                )
            ]
        )

    def _translate(self, name: str, ids: np.ndarray) -> np.ndarray:
        return self._translations[name][ids] if name in self._translations else ids

    def _generator(self, epoch: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng((self._seed, epoch, purpose))


class _ReadAhead:
    """Windows by index: read once for all threads, and the next ones before they are asked for."""

    def __init__(self, load, readers: int, keep: int):
        self._load, self._readers, self._keep = load, readers, keep
        self._pool = ThreadPoolExecutor(readers, "read window")
        self._lock = threading.Lock()
        self._windows: collections.OrderedDict[int, Future[Window]] = collections.OrderedDict()

    def __getitem__(self, index: int) -> Window:
        with self._lock:
            for each in range(index, index + 1 + self._readers):
                if each not in self._windows:
                    self._windows[each] = self._pool.submit(self._load, each)
                self._windows.move_to_end(each)
            while len(self._windows) > self._keep:
                self._windows.popitem(last=False)
            window = self._windows[index]
        return window.result()
