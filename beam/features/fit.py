"""Transforms on Arrow columns: what the train split says of a feature, and its values for a model.

    canonical values ── observe ──▶ state ── merge ──▶ state ── fit ──▶ FittedTransform, vocabulary
    canonical values ── apply with them ──▶ what the shards hold

What they mean stands in framework/config/features.py. export/graph/features.py executes the same
FittedTransform in the serving graph.
"""

from collections.abc import Sequence
from typing import cast

import numpy as np
import polars as pl
import pyarrow as pa

from podway.beam.features import pixels, text
from podway.beam.features.canonical import canonical, to_float32
from podway.beam.features.fingerprint import fingerprints
from podway.beam.statistics import quantiles
from podway.beam.statistics.quantiles import Sketch
from podway.framework.config.features import (
    Bytes,
    Categorical,
    CharacterNgrams,
    Cyclical,
    Gap,
    Hashed,
    Label,
    Numeric,
    Pixels,
    Quantiles,
    Text,
    Transform,
    Words,
    has_vocabulary,
    is_ragged,
    kind,
)
from podway.framework.schema.fitted import FittedTransform, Table
from podway.framework.schema.schema import (
    FIRST_VALUE,
    OUT_OF_VOCABULARY,
    PADDING,
    Feature,
    Vocabulary,
)

__all__ = ["State", "apply", "canonical", "features", "fit", "gaps", "kind", "merge", "observe"]

State = pa.Table | Sketch | None
"""What was seen: counts of values (columns value, count; by the values' UTF-8 bytes) for a
vocabulary, a sketch for numbers, None where nothing is fitted."""


def observe(transform: Transform, values: pa.Array, counts: np.ndarray | None = None) -> State:
    """The state of some canonical values.

    Args:
      transform: of the feature.
      values: canonical, of the train split.
      counts: how often each of them occurs, integers; None: once.
    """
    if has_vocabulary(transform):
        weights = np.ones(len(values), np.int64) if counts is None else np.asarray(counts, np.int64)
        if isinstance(transform, Categorical) and not transform.many:
            return _add_up([pl.DataFrame({"value": values, "count": weights})])
        distinct = _add_up([pl.DataFrame({"value": values, "count": weights})])
        parts = _parts(transform, distinct["value"].combine_chunks())
        weights = np.repeat(distinct["count"].to_numpy(), parts.lengths)
        return _add_up([pl.DataFrame({"value": parts.values, "count": weights})])
    if _has_sketch(transform):
        return quantiles.of(to_float32(values.to_numpy(zero_copy_only=False)), counts)
    return None


def merge(transform: Transform, states: Sequence[State]) -> State:
    """The state of all that was seen; equal to the bit in whatever order and grouping."""
    if has_vocabulary(transform):
        frames = [cast(pl.DataFrame, pl.from_arrow(cast(pa.Table, state))) for state in states]
        return _add_up(frames or [pl.DataFrame({"value": [], "count": []})])
    if _has_sketch(transform):
        return quantiles.merge([cast(Sketch, state) for state in states])
    return None


def _add_up(counts: list[pl.DataFrame]) -> pa.Table:
    nonempty = pl.concat(
        frame.select(pl.col("value").cast(pl.String), pl.col("count").cast(pl.Int64))
        for frame in counts
    ).filter((pl.col("value") != "") & (pl.col("count") > 0))
    return nonempty.group_by("value").agg(pl.col("count").sum()).sort("value").to_arrow()


def fit(
    transform: Transform, state: State, table: Table
) -> tuple[FittedTransform, Vocabulary | None]:
    """The fitted transform, and its vocabulary if it has one.

    Args:
      transform: the definition.
      state: of the whole train split.
      table: where the raw column stands.
    """
    match transform:
        case Categorical() | Text() if has_vocabulary(transform):
            vocabulary = _vocabulary(transform, cast(pa.Table, state))
            size = len(vocabulary) + transform.oov_buckets - 1
            return FittedTransform(transform, table, transform.name, size), vocabulary
        case Text():
            return FittedTransform(transform, table, size=FIRST_VALUE + 256), None
        case Hashed():
            return FittedTransform(transform, table, size=FIRST_VALUE + transform.buckets), None
        case Numeric() if _has_sketch(transform):
            mean, deviation = _moments(cast(Sketch, state), transform.scale == "log_standard")
            return FittedTransform(transform, table, mean=mean, deviation=deviation), None
        case Quantiles():
            boundaries = _boundaries(cast(Sketch, state), transform.buckets)
            return FittedTransform(
                transform, table, size=len(boundaries) + 2, boundaries=boundaries
            ), None
    return FittedTransform(transform, table), None


def _vocabulary(transform: Categorical | Text, counts: pa.Table) -> Vocabulary:
    """Falling count, ties by fingerprint, then by UTF-8 bytes. Row 1 counts what was dropped."""
    frame = cast(pl.DataFrame, pl.from_arrow(counts))
    frequent = frame.filter(pl.col("count") >= transform.min_count)
    hashes = pl.Series("hash", fingerprints(frequent["value"].to_arrow()), pl.UInt64)
    ranked = frequent.with_columns(hashes).sort(
        "count", "hash", "value", descending=[True, False, False]
    )
    kept = ranked if transform.max_values is None else ranked.head(transform.max_values)
    dropped = int(frame["count"].sum()) - int(kept["count"].sum())
    return Vocabulary(("", "", *kept["value"].to_list()), (0, dropped, *kept["count"].to_list()))


def _moments(seen: Sketch, log: bool) -> tuple[float, float]:
    """Mean and deviation as float32 values; 0 and 1 where there are no numbers.

    Numbers that float32 cannot tell from their mean count as equal, and have the deviation 1, as
    does what lies below float32's normal range: to divide by either would blow up rounding errors.
    """
    if log:
        low, high = (np.copysign(np.log1p(np.abs(x)), x) for x in (seen.low, seen.high))
        seen = Sketch(low, high, seen.counts, seen.bits, seen.limit)
    if not seen.count:
        return 0.0, 1.0
    mean, deviation = to_float32([quantiles.mean(seen), quantiles.deviation(seen)]).tolist()
    least = max(abs(mean) * 2.0**-24, float(np.finfo(np.float32).tiny))
    return mean, deviation if deviation > least else 1.0


def _boundaries(seen: Sketch, buckets: int) -> tuple[float, ...]:
    """Those that some of the train split's numbers lie below."""
    count = seen.count
    if not count:
        return ()
    ranks = [bucket * count // buckets + 1 for bucket in range(1, buckets)]
    found = np.unique(to_float32(quantiles.of_rank(seen, np.array(ranks))))
    return tuple(found[found > seen.low[0]].tolist())


def apply(fitted: FittedTransform, vocabulary: Vocabulary | None, values: pa.Array) -> pa.Array:
    """Canonical values as the model's: int32, float32, a vector of one size, or a list of int32.

    Nothing in the result is null. Lists are as long as they are; see Text.max_tokens.
    """
    match transform := fitted.transform:
        case Categorical() | Hashed() | Text():
            return _ids(transform, vocabulary, values)
        case Pixels():
            return _pixels(transform, values)
        case Cyclical():
            return _cyclical(transform, values)
        case Gap():
            raise TypeError(f"{transform.name}: a Gap is of the events' times; call gaps()")
    numbers = to_float32(values.to_numpy(zero_copy_only=False))
    match transform:
        case Numeric():
            return pa.array(_scale(fitted, transform, numbers))
        case Quantiles():
            boundaries = np.array(fitted.boundaries, np.float32)
            buckets = np.searchsorted(boundaries, numbers, side="right") + 1
            return pa.array(np.where(np.isnan(numbers), 0, buckets).astype(np.int32))
        case Label(above=None):
            return pa.array(numbers)
        case Label():
            return pa.array((numbers > np.float32(transform.above)).astype(np.float32))
    raise TypeError(f"{transform.name}: unknown transform {type(transform).__name__}")


def gaps(time: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Gap of each event: float32 log(1 + seconds since the user's event before; 0 for the first).

    Args:
      time: int64 microseconds, of all users' events, user by user, rising for each.
      offsets: where each user's events begin, and the end of the last, as Arrow has it.
    """
    since = np.diff(time, prepend=time[:1])
    since[offsets[:-1][offsets[:-1] < len(time)]] = 0
    return np.log1p(np.maximum(since, 0) / 1_000_000).astype(np.float32)


def features(fitted: FittedTransform, vocabulary: Vocabulary | None) -> Feature:
    """The feature in the dataset's schema, but for its max_length."""
    transform = fitted.transform
    ids = isinstance(transform, Categorical | Hashed | Text | Quantiles)
    return Feature(
        name=transform.name,
        role="label" if isinstance(transform, Label) else "feature",
        dtype="int32" if ids else "uint8" if isinstance(transform, Pixels) else "float32",
        ragged=is_ragged(transform),
        vocabulary=fitted.vocabulary if vocabulary else None,
        size=fitted.size,
        shape=_shape(transform),
        table=fitted.table,
    )


def _shape(transform: Transform) -> tuple[int, ...]:
    if isinstance(transform, Pixels):
        return (transform.size,)
    return (2,) if isinstance(transform, Cyclical) else ()


def _has_sketch(transform: Transform) -> bool:
    return isinstance(transform, Quantiles) or (
        isinstance(transform, Numeric) and transform.scale in ("standard", "log_standard")
    )


def _parts(transform: Transform, texts: pa.Array) -> text.Parts:
    if isinstance(transform, Text):
        tokenizer = cast(Words | CharacterNgrams, transform.tokenizer)
        return text.tokens(texts, tokenizer, transform.max_tokens)
    return text.divide(texts, cast(Categorical | Hashed, transform).separator)


def _ids(
    transform: Categorical | Hashed | Text, vocabulary: Vocabulary | None, values: pa.Array
) -> pa.Array:
    """Works on distinct values; a last one, without ids, stands for the missing ones."""
    encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    distinct = encoded.dictionary
    rows = encoded.indices.cast(pa.int64()).fill_null(len(distinct))
    if not is_ragged(transform):
        ids = _look_up(transform, vocabulary, distinct)
        return pa.array(np.append(ids, np.int32(PADDING))[rows.to_numpy()])
    if isinstance(transform, Text) and isinstance(transform.tokenizer, Bytes):
        lengths, ids = text.byte_ids(distinct, transform.max_tokens)
    else:
        parts = _parts(transform, distinct)
        part = parts.values.dictionary_encode()
        lengths, ids = parts.lengths, _look_up(transform, vocabulary, part.dictionary)
        ids = ids[part.indices.to_numpy()]
    offsets = np.concatenate([[0], np.cumsum(lengths), [len(ids)]]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(ids, pa.int32())).take(rows)


def _pixels(transform: Pixels, values: pa.Array) -> pa.Array:
    """Works on distinct values; a last one, of zeros, stands for the missing ones."""
    encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    distinct = pa.concat_arrays([encoded.dictionary, pa.nulls(1, pa.string())])
    rows = encoded.indices.cast(pa.int64()).fill_null(len(encoded.dictionary))
    return pixels.decode(distinct, transform.size).take(rows)


def _look_up(
    transform: Categorical | Hashed | Text, vocabulary: Vocabulary | None, values: pa.Array
) -> np.ndarray:
    """int32 ids of distinct values; "" and null are missing."""
    texts = values.to_pylist()
    if isinstance(transform, Hashed):
        ids = FIRST_VALUE + (fingerprints(values) % np.uint64(transform.buckets)).astype(np.int64)
    else:
        known = cast(Vocabulary, vocabulary).ids
        found = (known.get(value, OUT_OF_VOCABULARY) for value in texts)
        ids = np.fromiter(found, np.int64, len(texts))
        unknown = np.flatnonzero(ids == OUT_OF_VOCABULARY)
        if transform.oov_buckets > 1 and len(unknown):
            hashes = fingerprints(values.take(pa.array(unknown)))
            bucket = (hashes % np.uint64(transform.oov_buckets)).astype(np.int64)
            further = len(cast(Vocabulary, vocabulary)) + bucket - 1
            ids[unknown] = np.where(bucket == 0, OUT_OF_VOCABULARY, further)
    ids[[position for position, value in enumerate(texts) if not value]] = PADDING
    return ids.astype(np.int32)


def _scale(fitted: FittedTransform, transform: Numeric, numbers: np.ndarray) -> np.ndarray:
    scaled = numbers.astype(np.float64)
    if transform.scale in ("log", "log_standard"):
        scaled = np.copysign(np.log1p(np.abs(scaled)), scaled)
    if transform.scale in ("standard", "log_standard"):
        scaled = (scaled - fitted.mean) / fitted.deviation
    return np.where(np.isnan(numbers), np.float32(transform.missing), to_float32(scaled))


def _cyclical(transform: Cyclical, values: pa.Array) -> pa.Array:
    missing = values.is_null().to_numpy(zero_copy_only=False)
    # The modulus first: what is added then cannot overflow.
    position = values.fill_null(0).to_numpy() % transform.length + transform.place
    angle = position % transform.length * (2 * np.pi / transform.length)
    parts = np.stack([np.sin(angle), np.cos(angle)], axis=1).astype(np.float32)
    parts[missing] = 0
    return pa.FixedSizeListArray.from_arrays(pa.array(parts.reshape(-1)), 2)
