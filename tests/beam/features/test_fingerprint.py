import json
import subprocess
import sys

import numpy as np
import pyarrow as pa

from podway.beam.features.fingerprint import fingerprints

VALUES = [
    "",
    "a",
    "1",
    "hé",
    "日本語",
    "👩‍👩‍👧",
    "İ",
    "a\0b",
    " ",
    "x" * 10_000,
    *(("añb" * 20)[:length] for length in range(1, 40)),
    *map(str, range(200)),
]
# In a process of its own: TensorFlow is not the data room's.
TENSORFLOW = """
import json, sys
import tensorflow as tf
values, buckets = json.load(sys.stdin)
print(json.dumps([tf.strings.to_hash_bucket_fast(values, n).numpy().tolist() for n in buckets]))
"""


def test_the_hash_is_tensorflows():
    buckets = [1, 2, 7, 1 << 16, 2**61 - 1, 2**63 - 1]
    output = subprocess.run(
        [sys.executable, "-c", TENSORFLOW],
        input=json.dumps([VALUES, buckets]),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = fingerprints(pa.array(VALUES))
    assert (found >= 2**63).any()  # unsigned
    for size, theirs in zip(buckets, json.loads(output), strict=True):
        assert (found % np.uint64(size)).tolist() == theirs


def test_every_form_of_a_column_has_the_same_hashes():
    plain = pa.array([*VALUES, None, "a"])
    found = fingerprints(plain)
    assert found.dtype == np.uint64
    assert found[-2] == found[0]
    for column in (
        plain.dictionary_encode(),
        plain.cast(pa.binary()),
        plain.cast(pa.large_string()),
        pa.chunked_array([plain[:5], plain[5:]]),
        pa.chunked_array([plain[:5].dictionary_encode(), plain[5:].dictionary_encode()]),
    ):
        assert np.array_equal(fingerprints(column), found)
    assert fingerprints(pa.chunked_array([], pa.string())).shape == (0,)
    assert fingerprints(pa.array([], pa.string()).dictionary_encode()).shape == (0,)


def test_a_slice_of_a_column_has_its_own_hashes():
    whole = pa.array(VALUES)
    assert np.array_equal(fingerprints(whole[7:31]), fingerprints(whole)[7:31])
