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
        distinct = np.append(fingerprints(values.dictionary), _hash([None]))
        return distinct[values.indices.fill_null(len(distinct) - 1).to_numpy()]
    return _hash(values.to_pylist())


def _hash(values: list[Any]) -> np.ndarray:
    hashes = (farmhash.fingerprint64(value or "") for value in values)
    return np.fromiter(hashes, np.uint64, len(values))
