"""FarmHash Fingerprint64 of text: the hash of TensorFlow's string operations.

tf.strings.to_hash_bucket_fast(x, n) is the fingerprint of x's bytes, unsigned, modulo n. The hash
is the same in every process, version and language.
"""

from typing import Any

import farmhash
import numpy as np
import pyarrow as pa


def fingerprints(values: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """The fingerprint of each text, uint64 [len(values)]; of null that of the empty text.

    Text or bytes, plain or dictionary-encoded; only distinct values of the latter are hashed.
    """
    if isinstance(values, pa.ChunkedArray):
        parts = [fingerprints(chunk) for chunk in values.chunks]
        return np.concatenate(parts) if parts else np.zeros(0, np.uint64)
    if pa.types.is_dictionary(values.type):
        distinct = np.append(fingerprints(values.dictionary), _K2)
        return distinct[values.indices.fill_null(len(distinct) - 1).to_numpy()]
    return _hash(values)


def _hash(values: pa.Array) -> np.ndarray:
    """Short texts all at once (three times as quick as one call each), the others one by one."""
    if values.null_count:
        values = values.fill_null(b"" if _is_binary(values.type) else "")
    values = values.cast(pa.large_binary())
    _, offset_bytes, content = values.buffers()
    offsets = np.frombuffer(offset_bytes, np.int64)[values.offset :][: len(values) + 1]
    text = np.frombuffer(content or b"", np.uint8)
    start, length = offsets[:-1], np.diff(offsets)
    found = np.full(len(values), _K2, np.uint64)
    for lowest, highest, function in ((1, 3, _to_3), (4, 7, _to_7), (8, SHORT, _to_16)):
        mine = np.flatnonzero((length >= lowest) & (length <= highest))
        if len(mine):
            with np.errstate(over="ignore"):
                found[mine] = function(text, start[mine], length[mine])
    for index in np.flatnonzero(length > SHORT).tolist():
        found[index] = _one(text[offsets[index] : offsets[index + 1]].tobytes())
    return found


_one: Any = farmhash.fingerprint64  # of bytes, too

SHORT = 16
"""Bytes of text up to which FarmHash has no loop."""

# farmhashna::HashLen0to16 (Geoff Pike, 2014, https://github.com/google/farmhash).
_K0, _K2 = np.uint64(0xC3A5C85C97CB3127), np.uint64(0x9AE16A3B2F90404F)


def _to_3(text: np.ndarray, start: np.ndarray, length: np.ndarray) -> np.ndarray:
    a, b, c = (text[start + offset].astype(np.uint64) for offset in (0, length >> 1, length - 1))
    y, z = a + (b << np.uint64(8)), length.astype(np.uint64) + (c << np.uint64(2))
    return _mix(y * _K2 ^ z * _K0) * _K2


def _to_7(text: np.ndarray, start: np.ndarray, length: np.ndarray) -> np.ndarray:
    size = length.astype(np.uint64)
    head, tail = _words(text, start, 4), _words(text, start + length - 4, 4)
    return _combine(size + (head << np.uint64(3)), tail, _K2 + size * np.uint64(2))


def _to_16(text: np.ndarray, start: np.ndarray, length: np.ndarray) -> np.ndarray:
    factor = _K2 + length.astype(np.uint64) * np.uint64(2)
    a, b = _words(text, start, 8) + _K2, _words(text, start + length - 8, 8)
    return _combine(_rotate(b, 37) * factor + a, (_rotate(a, 25) + b) * factor, factor)


def _words(text: np.ndarray, start: np.ndarray, size: int) -> np.ndarray:
    """The little-endian numbers of `size` bytes at `start`, uint64."""
    everywhere = np.ndarray((len(text) - size + 1,), np.dtype(f"<u{size}"), text, strides=(1,))
    return everywhere[start].astype(np.uint64)


def _combine(u: np.ndarray, v: np.ndarray, factor: np.ndarray) -> np.ndarray:
    return _mix((v ^ _mix((u ^ v) * factor)) * factor) * factor


def _mix(word: np.ndarray) -> np.ndarray:
    return word ^ (word >> np.uint64(47))


def _rotate(word: np.ndarray, bits: int) -> np.ndarray:
    return (word >> np.uint64(bits)) | (word << np.uint64(64 - bits))


def _is_binary(type: pa.DataType) -> bool:
    return pa.types.is_binary(type) or pa.types.is_large_binary(type)
