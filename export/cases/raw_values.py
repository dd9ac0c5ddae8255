"""Raw values for golden requests, and what a feature makes of them.

What the graph does is computed here once more, in plain Python from the definitions in
framework/config/features.py, so that the two can disagree. Hashes alone are TensorFlow's.
"""

import bisect
import itertools
import math
from typing import Any

import numpy as np
import tensorflow as tf

from podway.export.graph.features import MISSING_TIME
from podway.framework.config.features import (
    Bytes,
    Categorical,
    CharacterNgrams,
    Cyclical,
    Hashed,
    Numeric,
    Pixels,
    Quantiles,
    Text,
    Transform,
    Words,
    is_ragged,
    kind,
)
from podway.framework.schema import code_points
from podway.framework.schema.fitted import FittedTransform
from podway.framework.schema.schema import FIRST_VALUE, OUT_OF_VOCABULARY, PADDING, Vocabulary

Raw = str | float | int | list[int] | None
"""As JSON has it: a text, a number or null, seconds since 1970, pixels."""

_LONGEST = 5
LARGEST = float(np.finfo(np.float32).max)
_LATEST = 60 * 365 * 86_400


def missing(transform: Transform) -> Raw:
    """What stands for a missing value."""
    if isinstance(transform, Pixels):
        return [0] * transform.size
    return {"text": "", "number": None, "time": MISSING_TIME}[kind(transform)]


def raw(
    fitted: FittedTransform,
    vocabulary: Vocabulary | None,
    generator: np.random.Generator,
    *,
    unknown: bool,
    within: tuple[float, float] | None = None,
) -> Raw:
    """A raw value: some of the vocabulary, a number, a time; or one that training never saw.

    A number lies `within` the train split's lowest and highest, and one that is unknown beyond, by
    no more than their distance; without them both are of the fitted mean and deviation.
    """
    transform: Any = fitted.transform
    match kind(transform):
        case "number":
            mean, deviation = fitted.mean or 0.0, fitted.deviation or 1.0
            low, high = within or (mean - 3 * deviation, mean + 3 * deviation)
            width = high - low or max(abs(high), 1.0)
            low, high = (low - width, high + width) if unknown else (low, high)
            return float(np.float32(np.clip(generator.uniform(low, high), -LARGEST, LARGEST)))
        case "pixels":
            return generator.integers(0, 256, transform.size).tolist()
        case "time":
            return int(generator.integers(-_LATEST, _LATEST))
    count = int(generator.integers(1, _LONGEST + 1)) if is_ragged(transform) else 1
    known = vocabulary.values[FIRST_VALUE:] if vocabulary and not unknown else ()
    parts = [
        known[int(generator.integers(len(known)))]
        if known
        else f"unknown{generator.integers(1 << 30)}"
        for _ in range(count)
    ]
    return (" " if isinstance(transform, Text) else getattr(transform, "separator", "")).join(parts)


def value(
    fitted: FittedTransform, vocabulary: Vocabulary | None, raw: Any, length: int
) -> np.ndarray:
    """What the feature is for a raw value; lists are cut and padded to `length`."""
    transform = fitted.transform
    match transform:
        case Text(tokenizer=Bytes()):
            ids = [FIRST_VALUE + byte for byte in raw.encode()]
            return _pad(ids[: transform.max_tokens], length)
        case Text():
            tokens = _tokens(raw, transform.tokenizer)[: transform.max_tokens]
            return _pad([_id(fitted, vocabulary, token) for token in tokens], length)
        case Categorical(many=True) | Hashed(many=True):
            parts = [part for part in raw.split(transform.separator) if part]
            return _pad([_id(fitted, vocabulary, part) for part in parts], length)
        case Categorical() | Hashed():
            return np.array(_id(fitted, vocabulary, raw) if raw else PADDING, np.int32)
        case Pixels():
            return np.array(raw, np.uint8)
        case Numeric():
            number = transform.missing if raw is None else _scale(fitted, raw)
            return np.array(number, np.float32)
        case Quantiles():
            below = sum(boundary <= raw for boundary in fitted.boundaries) if raw is not None else 0
            return np.array(0 if raw is None else 1 + below, np.int32)
        case Cyclical():
            if raw == MISSING_TIME:
                return np.zeros(2, np.float32)
            part = (raw * 1_000_000 + transform.place) % transform.length / transform.length
            return np.array(
                [math.sin(2 * math.pi * part), math.cos(2 * math.pi * part)], np.float32
            )
    raise TypeError(f"{transform.name}: a {type(transform).__name__} has no golden values")


def _pad(ids: list[int], length: int) -> np.ndarray:
    return np.array((ids + [PADDING] * length)[:length], np.int32)


def _id(fitted: FittedTransform, vocabulary: Vocabulary | None, text: str) -> int:
    transform: Any = fitted.transform
    if isinstance(transform, Hashed):
        return FIRST_VALUE + _hash(text, transform.buckets)
    assert vocabulary is not None
    if text in vocabulary.ids:
        return vocabulary.ids[text]
    bucket = _hash(text, transform.oov_buckets)
    return fitted.size - transform.oov_buckets + bucket if bucket else OUT_OF_VOCABULARY


def _hash(text: str, buckets: int) -> int:
    return int(tf.strings.to_hash_bucket_fast(text, buckets).numpy())


def _scale(fitted: FittedTransform, number: float) -> float:
    transform: Any = fitted.transform
    if transform.scale in ("log", "log_standard"):
        number = math.copysign(math.log1p(abs(number)), number)
    if transform.scale in ("standard", "log_standard"):
        number = (number - fitted.mean) / fitted.deviation
    return number


def _tokens(text: str, tokenizer: Any) -> list[str]:
    groups = itertools.groupby(
        text, lambda point: bisect.bisect_right(code_points.BOUNDARIES, ord(point)) % 2 == 1
    )
    words = ["".join(points) for inside, points in groups if inside]
    if tokenizer.lowercase:
        words = ["".join(map(_lowercase, word)) for word in words]
    if isinstance(tokenizer, Words):
        return words
    assert isinstance(tokenizer, CharacterNgrams)
    framed = [f"<{word}>" for word in words]
    return [
        word[start : start + tokenizer.size]
        for word in framed
        for start in range(max(len(word) - tokenizer.size + 1, 1))
    ]


def _lowercase(point: str) -> str:
    for first, last, step, distance in code_points.LOWERCASE:
        if first <= ord(point) <= last and (ord(point) - first) % step == 0:
            return chr(ord(point) + distance)
    return point
