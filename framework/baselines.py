"""Baselines without training: what a model must beat. NumPy and SciPy."""

import dataclasses

import numpy as np
from scipy import sparse

from framework.input import Dataset, Ragged
from framework.schema import FIRST_VALUE, PADDING


def train_histories(dataset: Dataset) -> Ragged:
    """The item ids of all training examples."""
    blocks = dataset.blocks("train")
    column = blocks.read(np.arange(len(blocks.rows)))["item"]
    assert isinstance(column, Ragged)
    return column


def train_counts(dataset: Dataset) -> np.ndarray:
    """Training events by item id, [items]; an example is a history, or one event."""
    blocks = dataset.blocks("train")
    column = blocks.read(np.arange(len(blocks.rows)), ["item"])["item"]
    ids = column.values if isinstance(column, Ragged) else column
    return np.bincount(ids, minlength=dataset.schema["item"].size)


@dataclasses.dataclass(frozen=True)
class Popularity:
    """Every user gets the items with most training events.

    Attributes:
      counts: training events by item id, [items].
    """

    counts: np.ndarray

    @classmethod
    def fit(cls, dataset: Dataset) -> "Popularity":
        """Counts the training events."""
        return cls(train_counts(dataset))

    def scores(self, history: np.ndarray) -> np.ndarray:
        """f32 [batch, items] for history i32 [batch, length]."""
        return np.tile(self.counts.astype(np.float32), (len(history), 1))


@dataclasses.dataclass(frozen=True)
class SequentialKnn:
    """Items that followed the user's latest items within a few steps, in other histories.

    The similarity of item j to item i is Σ 1/d over the places where j comes d ≤ window steps after
    i, over the square root of both items' counts; a user's score of j is its sum over the latest
    items, each weighted by decay^age. (After session-based nearest neighbours and item-to-item
    transitions, Ludewig & Jannach 2018, arXiv:1803.09587.)

    Attributes:
      following: similarities, sparse [items, items], row = the earlier item.
      items: number of item ids.
      latest: items of a history that are looked at.
      decay: weight of each next older item.
    """

    following: sparse.csr_matrix
    items: int
    latest: int = 10
    decay: float = 0.8

    @classmethod
    def fit(cls, dataset: Dataset, window: int = 10) -> "SequentialKnn":
        """Counts the pairs within `window` steps in the training histories."""
        items = dataset.schema["item"].size
        return cls(_similarities(train_histories(dataset), items, window), items)

    def scores(self, history: np.ndarray) -> np.ndarray:
        """f32 [batch, items] for history i32 [batch, length], padded at the end."""
        length = (history != PADDING).sum(1)
        age = length[:, None] - 1 - np.arange(history.shape[1])
        row, column = np.nonzero((age >= 0) & (age < self.latest))
        weights = sparse.csr_matrix(
            (self.decay ** age[row, column], (row, history[row, column])),
            shape=(len(history), self.items),
        )
        return sparse.csr_matrix(weights @ self.following).toarray().astype(np.float32)


def _similarities(histories: Ragged, items: int, window: int) -> sparse.csr_matrix:
    values = histories.values
    owner = np.repeat(np.arange(len(histories.offsets) - 1), np.diff(histories.offsets))
    total = sparse.csr_matrix((items, items))
    for distance in range(1, window + 1):
        earlier, later = values[:-distance], values[distance:]
        pair = (owner[:-distance] == owner[distance:]) & (earlier >= FIRST_VALUE)
        pair &= later >= FIRST_VALUE
        weight = np.full(int(pair.sum()), 1.0 / distance)
        total += sparse.csr_matrix((weight, (earlier[pair], later[pair])), shape=(items, items))
    scale = sparse.diags_array(np.maximum(np.bincount(values, minlength=items), 1) ** -0.5)
    return sparse.csr_matrix(scale @ total @ scale)
