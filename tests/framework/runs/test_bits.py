import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from podway.framework.runs import bits

DTYPES = (np.float32, ml_dtypes.bfloat16, np.int32, np.int8, np.bool_, np.uint16)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_sum_is_that_of_the_bits_on_the_host_and_on_a_device(dtype):
    values = np.random.default_rng(0).integers(0, 2, (8, 6)).astype(dtype) * dtype(1)
    word = {1: np.uint8, 2: np.uint16, 4: np.uint32}[values.dtype.itemsize]
    expected = sum(int(each) for each in values.view(word).reshape(-1)) % 2**32
    assert bits.sums({"a": values, "b": jnp.asarray(values)}) == {"a": expected, "b": expected}
    assert int(bits._of_devices({"a": jnp.asarray(values)})["a"]) == expected


def test_the_sum_is_modulo_two_to_the_32():
    values = np.full(3, 0xFFFFFFFF, np.uint32)
    assert bits.sums({"a": values, "b": np.int32(-1)}) == {"a": 2**32 - 3, "b": 2**32 - 1}
    assert int(bits._of_devices({"a": jnp.asarray(values)})["a"]) == 2**32 - 3


def test_keys_of_random_numbers_have_bits_too():
    one, other = (bits.sums({"key": jax.random.key(seed)}) for seed in (1, 2))
    assert one != other
