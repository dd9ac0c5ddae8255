import numpy as np

from podway.beam.steps.codes import scatter


def test_scatter_is_splitmix64_and_depends_on_the_seed():
    # First output of the reference implementation (prng.di.unimi.it) for the state 0.
    assert int(scatter(np.array([0], np.uint64), 0)[0]) == 0xE220A8397B1DCDAF
    values = np.arange(1000, dtype=np.uint64)
    first, second = np.argsort(scatter(values, 0)), np.argsort(scatter(values, 1 << 40))
    assert not np.array_equal(first, second)
    assert abs(np.corrcoef(np.argsort(first), np.argsort(second))[0, 1]) < 0.1
