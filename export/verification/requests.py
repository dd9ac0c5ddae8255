"""Golden requests as tensors and as serialised tf.Examples, for verification and warm-up.

Knows no JAX.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from podway.export.graph.features import MISSING_TIME


def rows(
    raw: Mapping[str, Sequence[Any]],
    kinds: Mapping[str, str],
    separators: Mapping[str, str],
    chosen: Sequence[int],
) -> np.ndarray:
    """Examples of rows of raw values, as golden.json has them, object [rows].

    Args:
      raw: by input; null is a missing number.
      kinds: dtype of each input.
      separators: of the inputs that are lists.
      chosen: which rows.

    Missing values are left out, in every third row written as features without a value. Lists are
    written part by part, in every second row as one text.
    """
    return np.array(
        [_row({name: raw[name][row] for name in raw}, kinds, separators, row) for row in chosen],
        object,
    )


def tensor(values: Sequence[Any], kind: str) -> np.ndarray:
    """Raw values as an input takes them; null is a missing number."""
    if kind == "string":
        return np.array([value.encode() for value in values], object)
    return np.array([np.nan if value is None else value for value in values], kind)


def histories(
    values: Sequence[Sequence[str]], times: Sequence[Sequence[int]] | None = None
) -> np.ndarray:
    """Examples with a feature `history`, and `times` where given, object [rows]; without either
    where it is empty."""

    def example(row: int) -> bytes:
        features = {"history": _bytes([value.encode() for value in values[row]])}
        if times is not None:
            features["times"] = _int64s(times[row])
        return _serialize(features if values[row] else {})

    return np.array([example(row) for row in range(len(values))], object)


def _row(
    values: Mapping[str, Any], kinds: Mapping[str, str], separators: Mapping[str, str], row: int
) -> bytes:
    features = {}
    for name, value in values.items():
        missing = _is_missing(value)
        if missing and row % 3:
            continue
        match kinds[name]:
            case "string":
                split = name in separators and row % 2 == 0
                parts = value.split(separators[name]) if split else [value]
                feature = _bytes([] if missing else [part.encode() for part in parts])
            case "uint8":
                feature = _bytes([] if missing else [bytes(value)])
            case "int64":
                feature = _int64s([] if missing else [value])
            case _:
                numbers = tf.train.FloatList(value=[] if missing else [value])
                feature = tf.train.Feature(float_list=numbers)
        features[name] = feature
    return _serialize(features)


def _is_missing(value: Any) -> bool:
    if isinstance(value, list):
        return not any(value)
    return value is None or value == "" or value == MISSING_TIME


def _bytes(values: Sequence[bytes]) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def _int64s(values: Sequence[int]) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def _serialize(features: Mapping[str, tf.train.Feature]) -> bytes:
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)
