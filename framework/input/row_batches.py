"""All rows of a split, in order, in batches of one shape: what a model of rows is judged on."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from podway.framework.input import join
from podway.framework.input.columns import Arrays, Ragged, concatenate
from podway.framework.input.dataset import Dataset
from podway.framework.schema.schema import PADDING


class RowBatch(NamedTuple):
    """Rows of a split.

    Attributes:
      columns: as framework/input/batches.py reads them for training, of the whole batch.
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
    lookups = join.lookups(dataset, lengths)
    for rows, valid in _own(dataset, split, lengths, batch_size):
        joined = {name: lookup(rows) for name, lookup in lookups.items()}
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
        waiting.append(_fixed(blocks.read(np.array([index]), names), lengths))
        count += int(blocks.rows[index])
        if count < batch_size:
            continue
        joined = concatenate(waiting)
        for start in range(0, count - batch_size + 1, batch_size):
            yield {name: each[start : start + batch_size] for name, each in joined.items()}, full
        count %= batch_size
        waiting = [{name: each[len(each) - count :] for name, each in joined.items()}]
    if count:
        rows = concatenate(waiting)
        missing = batch_size - count
        yield (
            {
                name: np.pad(
                    each, [(0, missing)] + [(0, 0)] * (each.ndim - 1), constant_values=PADDING
                )
                for name, each in rows.items()
            },
            np.arange(batch_size) < count,
        )


def _fixed(columns: Mapping[str, np.ndarray | Ragged], lengths: Mapping[str, int]) -> Arrays:
    return {
        name: each.latest(lengths[name], np.arange(len(each.offsets) - 1))[:]
        if isinstance(each, Ragged)
        else each
        for name, each in columns.items()
    }
