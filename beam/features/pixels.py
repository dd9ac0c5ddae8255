"""Images as text, which the pipeline carries as it does any other, and back.

A pixel is the code point 256 + its value: two bytes of UTF-8, whatever the value.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from podway.beam.error import DataError
from podway.beam.formats.checks import Checks
from podway.framework.config.features import Pixels

pc: Any = pyarrow.compute  # which makes its functions when it is imported

_FIRST, _NEXT = 0xC4, 0x80
"""UTF-8 of the code point 256 (RFC 3629); six bits in the second byte."""


def canonical(values: pa.Array, transform: Pixels, where: str) -> tuple[pa.Array, Checks]:
    """Lists or bytes → text, null where missing; and the checks that some rows fail.

    Raises DataError where the column holds neither.
    """
    name, size = transform.name, transform.size
    if pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type):
        lengths, flat = pc.binary_length(values), _bytes(values)
    elif _holds_integers(values.type):
        if pa.types.is_fixed_size_list(values.type):
            values = values.cast(pa.list_(values.type.value_type))
        lengths, flat = pc.list_value_length(values), values.flatten().to_numpy()
    else:
        raise DataError(
            f"{where}: the column of {name} holds {values.type}; give one that holds bytes, or"
            " lists of whole numbers"
        )
    missing = values.is_null().to_numpy(zero_copy_only=False)
    lengths = lengths.fill_null(0).to_numpy(zero_copy_only=False)
    fitting, checks = (lengths == size) & ~missing, []
    if (wrong := ~fitting & ~missing).any():
        checks.append((f"{name} has not {size} numbers", wrong))
    images = flat[np.repeat(fitting, lengths)].reshape(-1, size)
    beyond = np.zeros(len(values), bool)
    beyond[fitting] = ((images < 0) | (images > 255)).any(1)
    if beyond.any():
        checks.append((f"{name} has numbers that are not from 0 to 255", beyond))
    rows = np.full(len(values), -1)
    rows[fitting] = np.arange(len(images))
    return encode(images.astype(np.uint8)).take(pa.array(rows, mask=~fitting)), checks


def encode(images: np.ndarray) -> pa.Array:
    """uint8 [images, size] → text."""
    pairs = np.stack([_FIRST + (images >> 6), _NEXT + (images & 63)], axis=-1).astype(np.uint8)
    offsets = np.arange(len(images) + 1, dtype=np.int32) * 2 * images.shape[1]
    return pa.StringArray.from_buffers(
        len(images), pa.py_buffer(offsets), pa.py_buffer(pairs.tobytes())
    )


def decode(texts: pa.Array, size: int) -> pa.Array:
    """Text → fixed-size lists of `size` uint8; zeros where it is missing."""
    present = texts.is_valid().to_numpy(zero_copy_only=False)
    pairs = _bytes(texts.drop_null().cast(pa.binary())).reshape(-1, size, 2)
    images = np.zeros((len(texts), size), np.uint8)
    images[present] = ((pairs[..., 0] - _FIRST) << 6) | (pairs[..., 1] - _NEXT)
    return pa.FixedSizeListArray.from_arrays(pa.array(images.reshape(-1)), size)


def _bytes(values: pa.Array) -> np.ndarray:
    """The bytes of all values, one after the other."""
    return np.frombuffer(b"".join(value or b"" for value in values.to_pylist()), np.uint8)


def _holds_integers(kind: pa.DataType) -> bool:
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return (lists or pa.types.is_fixed_size_list(kind)) and pa.types.is_integer(kind.value_type)
