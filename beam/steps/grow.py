"""Fitted transforms of an extension: those of its base, with vocabularies that only grow."""

import dataclasses
from typing import Any

import polars as pl
import pyarrow as pa
from etils import epath

from podway.beam.features.fingerprint import fingerprints
from podway.framework.schema.fitted import FittedTransform, read_transforms
from podway.framework.schema.schema import FIRST_VALUE, Vocabulary


def grow(feature: Any, state: Any, base: epath.Path) -> tuple[FittedTransform, Vocabulary | None]:
    """A transform of the dataset `base`, with the values of more events.

    Scales and boundaries stay, as do vocabularies with more than one out-of-vocabulary bucket,
    whose ids follow the vocabulary's: the base's shards were written with them.

    Args:
      feature: the definition.
      state: what fit.observe and merge say of the whole, the base's events included.
      base: directory of the dataset.

    Raises SchemaError: the base's files cannot be read.
    """
    fitted = next(
        one
        for one in read_transforms(base / "transform.json")
        if one.transform.name == feature.name
    )
    if fitted.vocabulary is None:
        return fitted, None
    old = Vocabulary.read(base / "vocabulary" / f"{fitted.vocabulary}.jsonl")
    words = extend(old, state, feature.min_count, _room(feature, old))
    return dataclasses.replace(fitted, size=fitted.size + len(words) - len(old)), words


def _room(feature: Any, old: Vocabulary) -> int | None:
    if feature.oov_buckets > 1:
        return 0
    if feature.max_values is None:
        return None
    return max(feature.max_values + FIRST_VALUE - len(old), 0)


def extend(old: Vocabulary, counts: pa.Table, min_count: int, max_values: int | None) -> Vocabulary:
    """A vocabulary with further values: by falling count, ties by fingerprint, then by UTF-8 bytes.

    Args:
      old: its values keep their ids, whatever their counts.
      counts: columns value, count: of all values in the train split.
      min_count: what a new value must have.
      max_values: how many new ones at most.
    """
    frame = pl.DataFrame(counts)
    found = dict(zip(frame["value"].to_list(), frame["count"].to_list(), strict=True))
    new = frame.filter(~pl.col("value").is_in(old.values), pl.col("count") >= min_count)
    hashes = pl.Series("hash", fingerprints(new["value"].to_arrow()), pl.UInt64)
    new = new.with_columns(hashes).sort("count", "hash", "value", descending=[True, False, False])
    new = new if max_values is None else new.head(max_values)
    values = (*old.values[FIRST_VALUE:], *new["value"].to_list())
    known = [found.get(value, 0) for value in values]
    unknown = int(frame["count"].sum()) - sum(known)
    return Vocabulary(("", "", *values), (0, unknown, *known))
