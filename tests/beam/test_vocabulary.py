import zlib

import numpy as np
import pyarrow as pa

from beam.vocabulary import DROPPED, CountValues, checksums, codes, encode, number, scatter
from framework.schema import Vocabulary

# By UTF-8 bytes: Z < a < é < 𐍈 < 😀; UTF-16 would sort the surrogates of 😀 before ﬀ.
TEXT = ["a", "Z", "é", "😀", "ﬀ", "10", "9"]


def _count(tables: list[pa.Table], parts: int) -> dict[str, int]:
    combine = CountValues("user")
    accumulators = [combine.create_accumulator() for _ in range(parts)]
    for at, table in enumerate(tables):
        accumulators[at % parts] = combine.add_input(accumulators[at % parts], table)
    merged = combine.compact(combine.merge_accumulators(accumulators))
    counts = codes(combine.extract_output(merged))
    return dict(zip(counts["value"].to_pylist(), counts["count"].to_pylist(), strict=True))


def test_counts_add_up_over_batches_and_workers():
    tables = [
        pa.table({"user": pa.array(part).dictionary_encode()})
        for part in (["a", "b", "a"], ["c"], ["b", "b", "a"])
    ]
    assert _count(tables, 1) == _count(tables, 3) == {"a": 3, "b": 3, "c": 1}
    assert _count([], 1) == {}


def test_codes_are_in_the_order_of_utf8_bytes():
    table = codes(pa.table({"value": TEXT, "count": [1] * len(TEXT)}))
    assert table["value"].to_pylist() == sorted(TEXT, key=str.encode)


def test_encode_looks_up_each_value():
    values = codes(pa.table({"value": TEXT, "count": [1] * len(TEXT)}))["value"]
    column = pa.chunked_array([pa.array(["é", "9", "é"]).dictionary_encode()])
    order = sorted(TEXT, key=str.encode)
    assert encode(column, values).tolist() == [order.index("é"), order.index("9"), order.index("é")]


def test_number_ranks_like_vocabulary_build():
    generator = np.random.default_rng(0)
    values = sorted((f"v{at}" for at in range(50)), key=str.encode)
    counts = generator.integers(0, 6, 50)
    kept = [(v, int(n)) for v, n in zip(values, counts, strict=True) if n]
    for cap in (None, 7, 1000):
        ids, vocabulary = number(pa.chunked_array([values]), counts, cap)
        expected = Vocabulary.build(kept, cap)
        assert vocabulary == expected
        for value, count, code in zip(values, counts, ids.tolist(), strict=True):
            assert code == (expected.id(value) if count else DROPPED)


def test_checksums_are_crc32():
    assert checksums(pa.chunked_array([TEXT])).tolist() == [zlib.crc32(t.encode()) for t in TEXT]


def test_scatter_is_splitmix64_and_depends_on_the_seed():
    # First output of the reference implementation (prng.di.unimi.it) for the state 0.
    assert int(scatter(np.array([0], np.uint32), 0)[0]) == 0xE220A8397B1DCDAF
    checksum = np.arange(1000, dtype=np.uint32)
    first, second = np.argsort(scatter(checksum, 0)), np.argsort(scatter(checksum, 1))
    assert not np.array_equal(first, second)
    assert abs(np.corrcoef(np.argsort(first), np.argsort(second))[0, 1]) < 0.1
