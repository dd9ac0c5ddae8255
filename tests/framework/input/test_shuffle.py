"""How near the block shuffle is to a uniform one, by the statistic of benchmarks/shuffle.py."""

import numpy as np
import pytest

from benchmarks import shuffle
from podway.framework.input.epochs import Epochs

ROWS, BLOCK, BATCH, EPOCHS = 1 << 16, 64, 64, 6
BLOCKS = ROWS // BLOCK


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return shuffle.sorted_rows(str(tmp_path_factory.mktemp("data")), ROWS, BLOCK)


def excess(dataset, window: int) -> float:
    sequence = list(shuffle.orders(dataset, "row", window, EPOCHS))
    assert all((np.sort(order) == np.arange(ROWS)).all() for order in sequence)
    return float(np.mean([shuffle.excess(order, BATCH) for order in sequence]))


def test_a_uniform_permutation_has_an_excess_of_one():
    generator = np.random.default_rng(0)
    found = [shuffle.excess(generator.permutation(ROWS), BATCH) for _ in range(EPOCHS)]
    assert np.mean(found) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("window", [1, 4, 16, 64, BLOCKS])
def test_the_excess_is_what_the_docs_say(dataset, window):
    predicted = shuffle.predicted(1, BATCH, window, BLOCKS, BLOCK)
    assert excess(dataset, window) == pytest.approx(predicted, rel=0.2)


def test_a_shuffle_that_leaves_the_rows_of_a_block_together_is_caught(dataset, monkeypatch):
    class RowsInOrder(np.random.Generator):
        def permutation(self, x, axis=0):
            return np.arange(x) if x == 16 * BLOCK else super().permutation(x, axis)

    monkeypatch.setattr(Epochs, "_generator", generator(RowsInOrder))
    assert excess(dataset, 16) > 5 * shuffle.predicted(1, BATCH, 16, BLOCKS, BLOCK)


def test_a_shuffle_that_leaves_the_blocks_in_order_is_caught(dataset, monkeypatch):
    class BlocksInOrder(np.random.Generator):
        def permutation(self, x, axis=0):
            return np.arange(x) if x == BLOCKS else super().permutation(x, axis)

    monkeypatch.setattr(Epochs, "_generator", generator(BlocksInOrder))
    assert excess(dataset, 16) > 5 * shuffle.predicted(1, BATCH, 16, BLOCKS, BLOCK)


def generator(kind):
    """Stands in for Epochs._generator."""
    return lambda self, *place: kind(np.random.PCG64([self._seed, *place]))


def test_values_that_are_stored_at_random_need_no_window():
    values = np.random.default_rng(1).random(ROWS)
    assert shuffle.correlation(values, BLOCK) == pytest.approx(0, abs=0.002)
    sorted_values = np.sort(values)
    assert shuffle.correlation(sorted_values, BLOCK) == pytest.approx(1, abs=0.001)


def test_the_streams_of_blocks_and_of_the_first_window_differ(dataset):
    """NumPy pads a seed with zeros: (seed, epoch) and (seed, epoch, 0) are one stream."""
    epochs = Epochs(dataset, {"row": 1}, seed=0, window=BLOCKS)
    first = epochs.read(0, ROWS)["row"]
    blocks = np.random.default_rng((0, 0)).permutation(BLOCKS)
    rows = np.random.default_rng((0, 0)).permutation(ROWS)
    assert (first != (blocks[:, None] * BLOCK + np.arange(BLOCK)).ravel()[rows]).any()
