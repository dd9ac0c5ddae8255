"""Sums over the bits of arrays: they say after a restore whether a bit is other than at the save.

A checkpoint's files hold no sums of the numbers in them, so a bit that a disk has flipped would
come back as another number. The sum of an array is that of its elements' bits as unsigned
integers, modulo 2^32: the same however the array is laid over devices, and another one as soon as
one bit is. Damage of several bits goes unseen once in 2^32.
"""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tensorstore as ts
from etils import epath

_WORDS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint32}


def sums(arrays: Mapping[str, Any]) -> dict[str, int]:
    """The sum of each array, by its path. All processes must call it, where there are several."""
    on_host = {path: array for path, array in arrays.items() if _is_on_host(array)}
    there = {path: array for path, array in arrays.items() if path not in on_host}
    found = {path: _of_host(array) for path, array in on_host.items()}
    if there:
        found |= {path: int(each) for path, each in jax.device_get(_of_devices(there)).items()}
    return {path: found[path] for path in arrays}


def sums_in_files(folder: epath.Path, paths: Iterable[str]) -> dict[str, int]:
    """The sums of the arrays that a checkpoint's folder `state` has, as its files say them now.

    One piece at a time is in memory: what a device wrote of an array.
    """
    base = _place(str(folder))
    return {path: _of_file(base, path) for path in paths}


def _place(folder: str) -> dict[str, str]:
    """A folder as TensorStore names it; in its URLs some characters mean something else."""
    bucket, _, path = folder.removeprefix("gs://").partition("/")
    remote = {"driver": "gcs", "bucket": bucket, "path": f"{path}/"}
    return remote if folder.startswith("gs://") else {"driver": "file", "path": f"{folder}/"}


def _of_file(base: Mapping[str, str], path: str) -> int:
    files = {"driver": "ocdbt", "base": base, "path": f"{path}/"}
    array = ts.open({"driver": "zarr", "kvstore": files}, read=True).result()
    shape = array.shape
    chunk = array.chunk_layout.read_chunk.shape or shape
    piece = [step or size for step, size in zip(chunk, shape, strict=True)]
    starts = (range(0, size, step) for size, step in zip(shape, piece, strict=True))
    found = 0
    for start in itertools.product(*starts):
        corners = zip(start, piece, shape, strict=True)
        box = tuple(slice(at, min(at + step, size)) for at, step, size in corners)
        found += _of_host(array[box].read().result())
    return found % 2**32


def _is_on_host(array: Any) -> bool:
    """Whether its bits are at hand without a transfer: then nothing has to be compiled."""
    return not isinstance(array, jax.Array) or (
        array.is_fully_addressable
        and all(device.platform == "cpu" for device in array.devices())
        and not jnp.issubdtype(array.dtype, jax.dtypes.prng_key)
    )


def _of_host(array: Any) -> int:
    plain = np.ascontiguousarray(array).reshape(-1)
    return int(plain.view(_WORDS[plain.dtype.itemsize]).sum(dtype=np.uint32))


@jax.jit
def _of_devices(arrays: dict[str, jax.Array]) -> dict[str, jax.Array]:
    return {path: _of_device(array) for path, array in arrays.items()}


def _of_device(array: jax.Array) -> jax.Array:
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        array = jax.random.key_data(array)
    if array.dtype == jnp.bool_:
        array = array.astype(jnp.uint8)
    bits = jax.lax.bitcast_convert_type(array, _WORDS[array.dtype.itemsize])
    return jnp.sum(bits.astype(jnp.uint32), dtype=jnp.uint32)
