"""From text to integers, in two steps.

A *code* is a value's rank among all values of its feature, by UTF-8 bytes: it stands for the text
wherever events are sorted or counted. An *id* is a row of the vocabulary of what was kept.
"""

import zlib

import apache_beam
import numpy as np
import polars as pl
import pyarrow as pa

from framework.schema import FIRST_VALUE, OUT_OF_VOCABULARY, Vocabulary

DROPPED = 0
"""In place of an id: the value was filtered out."""

COMPACT_ROWS = 1 << 21
"""Counts that are collected before equal values are added up."""


class CountValues(apache_beam.CombineFn):
    """Counts the values of one column over many tables: a table (value, count), in no order.

    All distinct values must fit in one worker's memory.
    """

    def __init__(self, column: str):
        self._column = column

    def create_accumulator(self) -> list[pl.DataFrame]:
        """No counts."""
        return []

    def add_input(
        self, mutable_accumulator: list[pl.DataFrame], element: pa.Table
    ) -> list[pl.DataFrame]:
        """Adds a table's values."""
        found, count = element[self._column].combine_chunks().value_counts().flatten()
        if pa.types.is_dictionary(found.type):
            found = found.dictionary_decode()
        counts = pl.DataFrame({"value": found, "count": count})
        return self._tidy([*mutable_accumulator, counts])

    def merge_accumulators(self, accumulators: list[list[pl.DataFrame]]) -> list[pl.DataFrame]:
        """Puts counts together."""
        return self._tidy([part for parts in accumulators for part in parts])

    def compact(self, accumulator: list[pl.DataFrame]) -> list[pl.DataFrame]:
        """Before an accumulator travels."""
        return [_add_up(accumulator)] if len(accumulator) > 1 else accumulator

    def extract_output(self, accumulator: list[pl.DataFrame]) -> pa.Table:
        """The counts; without any input a table of no rows and no columns."""
        return _add_up(accumulator).to_arrow() if accumulator else pa.table({})

    def _tidy(self, parts: list[pl.DataFrame]) -> list[pl.DataFrame]:
        rows = [len(part) for part in parts]
        return self.compact(parts) if sum(rows) - max(rows, default=0) > COMPACT_ROWS else parts


def _add_up(parts: list[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(parts).group_by("value").agg(pl.col("count").sum())


def codes(counts: pa.Table) -> pa.Table:
    """Counts in the order of their values' UTF-8 bytes: row = code. Columns value, count."""
    if not counts.num_columns:
        return pa.table({"value": pa.array([], pa.large_string()), "count": pa.array([], "int64")})
    return pl.DataFrame(counts).sort("value").to_arrow()


def encode(column: pa.ChunkedArray, values: pa.ChunkedArray) -> np.ndarray:
    """Dictionary-encoded text → int32 codes: rows of `values`, which holds all of the text."""
    array = column.combine_chunks()
    coded = pl.DataFrame({"value": values}).with_columns(
        code=pl.int_range(pl.len(), dtype=pl.Int32)
    )
    distinct = pl.DataFrame({"value": array.dictionary})
    found = distinct.join(coded, on="value", how="left", maintain_order="left")["code"]
    return found.to_numpy()[array.indices.to_numpy()]


def checksums(values: pa.ChunkedArray) -> np.ndarray:
    """CRC-32 of each text, uint32: a hash that is the same in every process and version."""
    return np.fromiter(
        (zlib.crc32(value.encode()) for value in values.to_pylist()), np.uint32, len(values)
    )


def scatter(checksum: np.ndarray, seed: int) -> np.ndarray:
    """A pseudo-random uint64 for each checksum: SplitMix64 (Steele et al., 2014)."""
    with np.errstate(over="ignore"):
        mixed = checksum.astype(np.uint64) + np.uint64(seed % 2**32) * np.uint64(2**32)
        mixed += np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))


def number(
    values: pa.ChunkedArray, counts: np.ndarray, max_values: int | None = None
) -> tuple[np.ndarray, Vocabulary]:
    """Ids by code, and the vocabulary that they are rows of.

    Same order as Vocabulary.build, which ranks by text: here the code is that rank already.

    Args:
      values: text by code.
      counts: kept events by code; 0 where the value was filtered out.
      max_values: the most frequent values to keep; the others share OUT_OF_VOCABULARY.

    Returns:
      int32 ids by code (DROPPED where the value was filtered out), and the vocabulary.
    """
    present = np.flatnonzero(counts)
    ranked = present[np.argsort(-counts[present], kind="stable")]
    kept, capped = ranked[:max_values], ranked[len(ranked[:max_values]) :]
    ids = np.full(len(counts), DROPPED, np.int32)
    ids[kept] = np.arange(FIRST_VALUE, FIRST_VALUE + len(kept), dtype=np.int32)
    ids[capped] = OUT_OF_VOCABULARY
    vocabulary = Vocabulary(
        values=("", "", *values.take(pa.array(kept)).to_pylist()),
        counts=(0, int(counts[capped].sum()), *counts[kept].tolist()),
    )
    return ids, vocabulary
