"""Ids: values are numbered by how often the train split has them, in parts that nobody joins.

A value's id is FIRST_VALUE plus the number of values that come before it: those with a higher
count, and those with an equal count and a lower fingerprint. A part (a range of fingerprints, see
codes.py) knows its own values; of the others it needs only how many there are of each count.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl
from etils import epath

from podway.framework.schema import schema
from podway.framework.schema.schema import FIRST_VALUE, OUT_OF_VOCABULARY


@dataclasses.dataclass(frozen=True)
class Histogram:
    """Of one feature and part: `numbers[i]` values occur `counts[i]` times each."""

    feature: str
    part: int
    counts: np.ndarray
    numbers: np.ndarray


def histogram(feature: str, part: int, counts: np.ndarray) -> Histogram:
    """Of the counts of a part's values."""
    return Histogram(feature, part, *np.unique(counts, return_counts=True))


def number(
    counts: np.ndarray,
    part: int,
    parts: Sequence[Histogram],
    max_values: int | None,
    known: int = 0,
) -> np.ndarray:
    """Ids of a part's values, int32.

    Args:
      counts: of the values in the order of their fingerprints; 0 of those that a side table alone
        has, which come last.
      part: its number.
      parts: all parts of the feature, in any order, this one included.
      max_values: the most frequent values to keep; the others share OUT_OF_VOCABULARY.
      known: how many other values have ids already; the first one here follows them.
    """
    totals: dict[int, int] = {}
    earlier: dict[int, int] = {}
    for other in parts:
        for count, values in zip(other.counts.tolist(), other.numbers.tolist(), strict=True):
            totals[count] = totals.get(count, 0) + values
            if other.part < part:
                earlier[count] = earlier.get(count, 0) + values
    first, following = {}, FIRST_VALUE + known
    for count in sorted(totals, reverse=True):
        first[count] = following + earlier.get(count, 0)
        following += totals[count]
    frame = pl.DataFrame({"count": counts}).with_columns(
        rank=pl.int_range(pl.len()).over("count"),
        first=pl.col("count").replace_strict(first, return_dtype=pl.Int64),
    )
    ids = frame["rank"].to_numpy() + frame["first"].to_numpy()
    if max_values is not None:
        ids = np.where(ids < FIRST_VALUE + max_values, ids, OUT_OF_VOCABULARY)
    return ids.astype(np.int32)


def write(directory: epath.Path, feature: str, file: int, frames: Iterable[pl.DataFrame]) -> int:
    """Writes one file of a vocabulary, from rows (id, value, count) in any order.

    Rows of OUT_OF_VOCABULARY are added up to one; file 0 gets the two kept rows in any case.

    Returns:
      The number of values, without the kept rows.
    """
    frame = pl.concat(frames).sort("id")
    values = frame.filter(pl.col("id") >= FIRST_VALUE)
    if file == 0:
        unknown = int(frame.filter(pl.col("id") == OUT_OF_VOCABULARY)["count"].sum())
        kept = pl.DataFrame({"value": ["", ""], "count": [0, unknown]})
        rows = pl.concat([kept, values.select("value", pl.col("count").cast(pl.Int64))])
    else:
        rows = values.select("value", "count")
    path = schema.vocabulary_file(directory / f"{feature}.jsonl", file)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lines:
        lines.writelines(schema.vocabulary_lines(rows["value"].to_list(), rows["count"].to_list()))
    return len(values)
