"""Positions in chunks: as few as there is room for, and as even as can be."""

import types

import jax
import numpy as np
import pytest

from podway.framework.losses import chunks
from podway.framework.losses.chunks import Chunks


@pytest.mark.parametrize("length", [1, 2, 7, 50, 200])
def test_none_is_larger_than_asked_and_less_than_one_position_each_is_padding(length):
    for most in range(0, length + 2):
        cut = Chunks.of(length, most)
        assert cut.size <= max(1, most)
        assert 0 <= cut.count * cut.size - length < cut.count
        x = np.arange(2 * length * 3).reshape(2, length, 3)
        parts = cut.cut(x)
        assert parts.shape == (cut.count, 2, cut.size, 3)
        np.testing.assert_array_equal(cut.joined(parts), x)


def test_200_positions_of_which_151_fit_are_two_halves():
    assert Chunks.of(200, 151) == Chunks(200, 100)


@pytest.mark.parametrize(("gigabytes", "power"), [(141, 30), (80, 29), (40, 28)])
def test_a_gpu_has_room_by_its_memory(gigabytes, power):
    assert chunks.elements(alone(gigabytes * 10**9 * 3 // 4)) == 1 << power


def test_a_small_gpu_has_the_least_and_a_cpu_what_its_cache_holds():
    assert chunks.elements(alone(8 * 10**9)) == 1 << 26
    assert chunks.elements(alone(0)) == 1 << 26, "it does not say"
    assert chunks.elements(None) == chunks.CHUNK_ELEMENTS[jax.default_backend()]


def alone(memory: int):
    """A mesh of one GPU that says what JAX has reserved of it."""
    gpu = types.SimpleNamespace(
        platform="gpu", device_kind="NVIDIA", memory_stats=lambda: {"bytes_limit": memory}
    )
    shape = dict.fromkeys(("slice", "data", "fsdp", "tensor"), 1)
    return types.SimpleNamespace(devices=np.array([gpu]), shape=shape, size=1)
