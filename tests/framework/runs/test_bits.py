import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
import pytest
import tensorstore as ts

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


def test_files_have_the_sums_of_what_was_saved_in_one_piece_or_several(tmp_path):
    tmp_path /= "a b%20#c?d:e"
    draw = np.random.default_rng(0)
    saved = {np.dtype(dtype).name: draw.integers(0, 2, (5, 3)).astype(dtype) for dtype in DTYPES}
    saved |= {"scalar": np.float32(-0.1), "key": jax.random.key(7)}
    saving = ocp.StandardCheckpointer()
    saving.save(tmp_path / "one", saved)
    saving.wait_until_finished()
    assert bits.sums_in_files(tmp_path / "one", saved) == bits.sums(saved)
    large = draw.normal(size=(70, 30)).astype(np.float32)
    pieces = ocp.PyTreeCheckpointer()
    chunks = {"large": ocp.SaveArgs(chunk_byte_size=600)}
    pieces.save(tmp_path / "several", {"large": large}, save_args=chunks)
    assert len(list(_pieces(tmp_path / "several"))) > 10
    assert bits.sums_in_files(tmp_path / "several", ["large"]) == bits.sums({"large": large})


def _pieces(folder):
    files = ts.KvStore.open(
        {"driver": "ocdbt", "base": {"driver": "file", "path": f"{folder}/"}}
    ).result()
    return (name for name in files.list().result() if not name.endswith(b".zarray"))
