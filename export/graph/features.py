"""Fitted transforms in a serving graph, of TensorFlow's own operations only.

Does what beam/features/fit.py does with the same FittedTransform: ids are equal, numbers up to
rounding. Raw values come as tensors, where missing is "" for text, NaN for a number, the smallest
int64 for a time. Lists come as one text, with the transform's separator, and become rows of one
length, padded with PADDING at the end; what exceeds the length is cut off.
"""

import math
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from podway.export.error import ExportError
from podway.export.graph import lookup, text
from podway.export.lowering import inputs
from podway.framework.config.features import (
    LARGEST,
    SMALLEST,
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
    is_ragged,
    kind,
)
from podway.framework.schema.fitted import FittedTransform
from podway.framework.schema.schema import FIRST_VALUE, OUT_OF_VOCABULARY, PADDING, Vocabulary

MISSING_TIME = -(2**63)
DTYPES = {"text": tf.string, "pixels": tf.uint8, "number": tf.float32, "time": tf.int64}
"""Of the raw values, by kind."""

Tensors = dict[str, tf.Tensor]


class Transforms(tf.Module):
    """The features of a dataset as a graph: raw columns → features.

    A raw column is an input of its name; where features read columns of one name as different
    things, or the name is no ASCII identifier, each of these features has an input of its own name.
    Labels are left out.

    Attributes:
      fitted: the features.
      inputs: feature → the name of its input.
      specs: input → its dtype and shape: [batch]; [batch, size] for Pixels; [batch, events] for
        Gap, oldest event first, with missing times at the end of shorter rows.

    Args:
      fitted: of the dataset.
      vocabularies: by name.
      lengths: of the rows of ids, by the features that have lists: Feature.max_length.
      directory: a local one, where the assets of the vocabularies are written and must remain until
        the module is saved.
    """

    def __init__(
        self,
        fitted: Sequence[FittedTransform],
        vocabularies: Mapping[str, Vocabulary],
        lengths: Mapping[str, int],
        directory: os.PathLike,
    ):
        super().__init__()
        served = [one for one in fitted if not isinstance(one.transform, Label)]
        self.inputs = inputs.names(served)
        self.specs = {self.inputs[one.transform.name]: _spec(one, self.inputs) for one in served}
        self.fitted = tuple(served)
        self._lengths = {name: int(length) for name, length in lengths.items()}
        self._tables = {
            one.vocabulary: lookup.write(
                vocabularies[one.vocabulary],
                pathlib.Path(directory) / f"feature_{one.vocabulary}.tensor",
            )
            for one in served
            if one.vocabulary is not None
        }

    def __call__(self, raw: Tensors) -> Tensors:
        """Features by name, of raw values by input."""
        return {
            one.transform.name: apply(
                one,
                self._tables[one.vocabulary] if one.vocabulary else None,
                raw[self.inputs[one.transform.name]],
                self._lengths.get(one.transform.name, 1),
            )
            for one in self.fitted
        }

    def signatures(self) -> dict[str, Callable[..., Tensors]]:
        """Signature name → concrete function with an input per raw column."""

        def features(**raw: tf.Tensor) -> Tensors:
            return self(raw)

        return {
            "features": tf.function(features, autograph=False).get_concrete_function(**self.specs)
        }


def _spec(one: FittedTransform, names: Mapping[str, str]) -> tf.TensorSpec:
    transform = one.transform
    shape: list[int | None] = [None]
    if isinstance(transform, Gap):
        shape = [None, None]
    elif isinstance(transform, Pixels):
        shape = [None, transform.size]
    return tf.TensorSpec(shape, DTYPES[kind(transform)], names[transform.name])


def apply(
    fitted: FittedTransform,
    table: tf.lookup.StaticHashTable | None,
    values: tf.Tensor,
    length: int = 1,
) -> tf.Tensor:
    """Raw values → int32 or float32 [batch], a vector [batch, size], or int32 [batch, length].

    Args:
      fitted: the feature.
      table: of its vocabulary, if it has one (lookup.write).
      values: raw, [batch]; for Gap [batch, events], for Pixels [batch, size].
      length: of the rows of ids, where the feature has lists; never more than Text.max_tokens.

    Raises:
      ExportError: a label, which no serving graph has.
    """
    match transform := fitted.transform:
        case Categorical() | Hashed() | Text():
            if is_ragged(transform):
                return _pad(fitted, transform, table, values, length)
            return _ids(fitted, transform, table, values)
        case Numeric():
            return _scale(fitted, transform, values)
        case Quantiles():
            return _bucket(fitted, values)
        case Pixels():
            return values
        case Cyclical():
            return _cyclical(transform, values)
        case Gap():
            return _gaps(values)
    raise ExportError(
        f"the feature {transform.name!r} cannot be served: it is a {_class(transform)}"
    )


def _class(transform: Transform) -> str:
    return type(transform).__name__


def _pad(
    fitted: FittedTransform,
    transform: Categorical | Hashed | Text,
    table: tf.lookup.StaticHashTable | None,
    texts: tf.Tensor,
    length: int,
) -> tf.Tensor:
    if isinstance(transform, Text):
        length = min(length, transform.max_tokens)
    match transform:
        case Text(tokenizer=Bytes()):
            return text.byte_ids(texts, length)
        case Text(tokenizer=(Words() | CharacterNgrams()) as tokenizer):
            parts = text.tokens(texts, tokenizer, length)
        case Categorical() | Hashed():
            parts = text.divide(texts, transform.separator)
        case _:
            raise ExportError(f"the feature {transform.name!r} has an unknown tokenizer")
    ids = parts.with_flat_values(_ids(fitted, transform, table, parts.flat_values))
    return ids.to_tensor(PADDING, shape=[None, length])


def _ids(
    fitted: FittedTransform,
    transform: Categorical | Hashed | Text,
    table: tf.lookup.StaticHashTable | None,
    values: tf.Tensor,
) -> tf.Tensor:
    if isinstance(transform, Hashed):
        hashed = FIRST_VALUE + tf.strings.to_hash_bucket_fast(values, transform.buckets)
        ids = tf.where(values == "", np.int64(PADDING), hashed)
    else:
        assert table is not None  # FittedTransform.vocabulary says so
        ids, buckets = table.lookup(values), transform.oov_buckets
        bucket = tf.strings.to_hash_bucket_fast(values, buckets)
        further = fitted.size - buckets + bucket
        unknown = tf.where(bucket == 0, np.int64(OUT_OF_VOCABULARY), further)
        ids = tf.where(ids == OUT_OF_VOCABULARY, unknown, ids)
    return tf.cast(ids, tf.int32)


def _finite(numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Numbers as features.py has them, with 0 for the missing ones, and which those are."""
    missing = tf.math.is_nan(numbers)
    numbers = tf.clip_by_value(tf.where(missing, 0.0, numbers), -LARGEST, LARGEST)
    return _without_subnormal(numbers), missing


def _without_subnormal(numbers: tf.Tensor) -> tf.Tensor:
    """Whether a processor takes them for 0 is its setting; so they are 0 everywhere."""
    return tf.where(tf.abs(numbers) < SMALLEST, 0.0, numbers)


def _scale(fitted: FittedTransform, transform: Numeric, numbers: tf.Tensor) -> tf.Tensor:
    numbers, missing = _finite(numbers)
    scaled = tf.cast(numbers, tf.float64)
    if transform.scale in ("log", "log_standard"):
        scaled = tf.sign(scaled) * tf.math.log1p(tf.abs(scaled))
    if transform.scale in ("standard", "log_standard"):
        scaled = (scaled - fitted.mean) / fitted.deviation
    scaled = tf.cast(tf.clip_by_value(scaled, -LARGEST, LARGEST), tf.float32)
    return tf.where(missing, transform.missing, _without_subnormal(scaled))


def _bucket(fitted: FittedTransform, numbers: tf.Tensor) -> tf.Tensor:
    numbers, missing = _finite(numbers)
    boundaries = tf.constant(fitted.boundaries, tf.float32, [len(fitted.boundaries)])
    return tf.where(missing, 0, 1 + tf.searchsorted(boundaries, numbers, side="right"))


def _cyclical(transform: Cyclical, times: tf.Tensor) -> tf.Tensor:
    length = transform.length
    # The modulus first: what is added then cannot overflow.
    phase = tf.math.floormod(tf.math.floormod(times, length) + transform.place, length)
    angle = tf.cast(phase, tf.float64) * (2 * math.pi / length)
    parts = tf.cast(tf.stack([tf.sin(angle), tf.cos(angle)], axis=1), tf.float32)
    return tf.where((times == MISSING_TIME)[:, tf.newaxis], 0.0, parts)


def _gaps(times: tf.Tensor) -> tf.Tensor:
    """[batch, events] → the same shape; 0 where either time is missing."""
    there = times != MISSING_TIME
    since = tf.cast(times[:, 1:] - times[:, :-1], tf.float64) / 1_000_000
    since = tf.where(there[:, 1:] & there[:, :-1], tf.maximum(since, 0), 0)
    gaps = tf.cast(tf.math.log1p(since), tf.float32)
    return tf.pad(gaps, [[0, 0], [1, 0]])[:, : tf.shape(times)[1]]
