"""Who had what in training: the train split as counts and as a matrix. NumPy and SciPy."""

import numpy as np
from scipy import sparse

from podway.framework.error import check
from podway.framework.input.columns import Ragged
from podway.framework.input.dataset import Dataset
from podway.framework.schema.schema import EVENT_WEIGHT, FIRST_VALUE


def train_histories(dataset: Dataset) -> Ragged:
    """The item ids of all training examples. Raises ConfigError where an example is an event."""
    blocks = dataset.blocks("train")
    column = blocks.read(np.arange(len(blocks.rows)))["item"]
    check(
        isinstance(column, Ragged),
        "data.examples is RowExamples, whose examples are single events; give Sequences, whose"
        " examples are histories",
    )
    assert isinstance(column, Ragged)
    return column


def train_targets(dataset: Dataset) -> np.ndarray:
    """Which training events may be targets, in the order of the histories' values, bool [events].

    The others are history only: they have no weight.
    """
    if not dataset.schema.has(EVENT_WEIGHT):
        return np.ones(len(_train_column(dataset, "item")), bool)
    return _train_column(dataset, EVENT_WEIGHT) > 0


def _train_column(dataset: Dataset, name: str) -> np.ndarray:
    """A column's values, of all training events."""
    blocks = dataset.blocks("train")
    column = blocks.read(np.arange(len(blocks.rows)), [name])[name]
    return column.values if isinstance(column, Ragged) else column


def train_counts(dataset: Dataset) -> np.ndarray:
    """Training events by item id, [items]; an example is a history, or one event."""
    return np.bincount(_train_column(dataset, "item"), minlength=dataset.schema["item"].size)


def target_counts(dataset: Dataset) -> np.ndarray:
    """Likewise, of the events that may be targets."""
    if not dataset.schema.has(EVENT_WEIGHT):
        return train_counts(dataset)
    ids = _train_column(dataset, "item")[_train_column(dataset, EVENT_WEIGHT) > 0]
    return np.bincount(ids, minlength=dataset.schema["item"].size)


def train_matrix(dataset: Dataset) -> sparse.csr_matrix:
    """1.0 where a training example has an item, however often, f64 [examples, items].

    The columns of the two ids that are no items are empty.
    """
    histories, items = train_histories(dataset), dataset.schema["item"].size
    owner = np.repeat(np.arange(len(histories.offsets) - 1), np.diff(histories.offsets))
    known = histories.values >= FIRST_VALUE
    shape = (len(histories.offsets) - 1, items)
    ones = np.ones(int(known.sum()))
    matrix = sparse.csr_matrix((ones, (owner[known], histories.values[known])), shape=shape)
    matrix.data[:] = 1.0
    return matrix
