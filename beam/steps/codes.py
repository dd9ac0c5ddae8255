"""Text ↔ integers on the way: distinct values stand for rows, fingerprints for values.

A text column becomes a dictionary of the batch's distinct fingerprints (uint64, FarmHash) and an
int32 index per row; the text itself travels apart, once per distinct value and batch. What many
workers share, such as a vocabulary, is divided into PARTS ranges of fingerprints.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from podway.beam.error import DataError
from podway.beam.features.fingerprint import fingerprints
from podway.beam.steps.chunk import Chunk

PARTS_BITS = 4
PARTS = 1 << PARTS_BITS
"""Ranges that distinct values are divided into, each a task of its own."""


def code(text: pa.Array) -> tuple[pa.DictionaryArray, pa.Table]:
    """Text (null counts as "") → rows as fingerprints, and the distinct (fingerprint, value).

    Takes plain text, or a dictionary without nulls.
    """
    encoded = text
    if not isinstance(encoded, pa.DictionaryArray):
        encoded = text.fill_null("").dictionary_encode()
    known = encoded.dictionary.fill_null("")
    found = fingerprints(known)
    order = np.argsort(found)
    position = np.empty(len(order), np.int32)
    position[order] = np.arange(len(order), dtype=np.int32)
    coded = dictionary(position[encoded.indices.to_numpy()], found[order])
    values = known.take(pa.array(order)).cast(pa.large_string())
    return coded, pa.table({"fingerprint": found[order], "value": values})


def dictionary(indices: np.ndarray, values: np.ndarray) -> pa.DictionaryArray:
    """Rows as int32 indices into values."""
    return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), pa.array(values))


def parts(table: pa.Table) -> Iterator[tuple[int, Chunk]]:
    """(part, rows) of a table that is sorted by its column "fingerprint"."""
    part = (table["fingerprint"].to_numpy() >> np.uint64(64 - PARTS_BITS)).astype(np.int64)
    ends = np.searchsorted(part, np.arange(PARTS), side="right")
    for number, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        if end > start:
            yield number, Chunk(table.slice(start, end - start))


def distinct(chunks: Iterable[Chunk]) -> pa.Table:
    """All distinct (fingerprint, value), sorted by fingerprint.

    Raises DataError where two values share a fingerprint: of 20 million values, that happens to
    one set in 100,000.
    """
    frames = [pl.DataFrame(chunk.table()) for chunk in chunks]
    frame = pl.concat(frames).unique().sort("fingerprint")
    twice = frame.filter(pl.col("fingerprint").is_duplicated())
    if len(twice):
        raise DataError(
            f"the values {twice['value'][0]!r} and {twice['value'][1]!r} have the same fingerprint;"
            " change one of them in the raw data"
        )
    return frame.to_arrow()


def add_up(chunks: Iterable[Chunk]) -> pl.DataFrame:
    """(fingerprint, count), equal fingerprints added up, sorted by fingerprint."""
    frames = [pl.DataFrame(chunk.table()) for chunk in chunks]
    if not frames:
        return pl.DataFrame(schema={"fingerprint": pl.UInt64, "count": pl.Int64})
    counted = pl.concat(frames).group_by("fingerprint").agg(pl.col("count").sum())
    return counted.sort("fingerprint")


def unify(columns: Sequence[pa.DictionaryArray]) -> tuple[np.ndarray, np.ndarray]:
    """Dictionary columns → int32 indices of all rows, into the rising union of the values."""
    union = distinct_of([column.dictionary.to_numpy() for column in columns])
    indices = [
        np.searchsorted(union, column.dictionary.to_numpy()).astype(np.int32)[
            column.indices.to_numpy()
        ]
        for column in columns
    ]
    return np.concatenate(indices), union


def distinct_of(parts: Sequence[np.ndarray]) -> np.ndarray:
    """The rising union of parts, each of which rises: a merge of sorted runs.

    (np.unique hashes, which takes 30 times as long on millions of fingerprints.)
    """
    merged = np.sort(np.concatenate(parts), kind="stable")
    return merged[np.append(True, merged[1:] != merged[:-1])[: len(merged)]]


def compact(column: pa.DictionaryArray) -> pa.DictionaryArray:
    """Without the values that no row has."""
    rows, values = column.indices.to_numpy(), column.dictionary.to_numpy()
    used = np.zeros(len(values), bool)
    used[rows] = True
    position = np.cumsum(used, dtype=np.int32) - 1
    return dictionary(position[rows], values[used])


def member(values: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Mask of the values that are in `of`, which rises."""
    index = np.searchsorted(of, values)
    index[index == len(of)] = 0
    return of[index] == values if len(of) else np.zeros(len(values), bool)


def look_up(values: np.ndarray, keys: np.ndarray, results: np.ndarray, other: int) -> np.ndarray:
    """The result beside each value's key, `other` where there is none; `keys` rise."""
    if not len(keys):
        return np.full(len(values), other, results.dtype)
    index = np.searchsorted(keys, values)
    index[index == len(keys)] = 0
    return np.where(keys[index] == values, results[index], results.dtype.type(other))


def hash_rows(columns: Mapping[str, Any]) -> np.ndarray:
    """A uint64 for each row, of all its values.

    Args:
      columns: arrays of numbers, or dictionaries of fingerprints, in an order that is part of the
        hash; missing numbers are one NaN.
    """
    found = np.zeros(1, np.uint64)
    for column in columns.values():
        if isinstance(column, pa.DictionaryArray):
            values = column.dictionary.to_numpy()[column.indices.to_numpy()]
        else:
            values = np.asarray(column)
            values = values.view(f"u{values.dtype.itemsize}").astype(np.uint64)
        found = scatter(found ^ values, len(columns))
    return found


def scatter(values: np.ndarray, seed: int) -> np.ndarray:
    """A pseudo-random uint64 for each uint64: SplitMix64 (Steele et al., 2014)."""
    with np.errstate(over="ignore"):
        mixed = values ^ np.uint64(seed % 2**64)
        mixed += np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))
