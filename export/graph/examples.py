"""tf.Example → the raw columns that a serving graph reads: the parsing, inside the graph.

Every column is a feature of the Example, of the type that its values have: text in a bytes_list,
numbers in a float_list, times (seconds since 1970) in an int64_list, pixels as one string of
bytes in a bytes_list. A feature that is not there, or has no values, is missing. A column of lists
takes its parts as values, or one text of them with the separator; the others take one value.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from podway.export.graph.features import MISSING_TIME, Transforms
from podway.export.lowering import inputs

_MISSING = {tf.string: "", tf.float32: float("nan"), tf.int64: MISSING_TIME}


@dataclasses.dataclass(frozen=True)
class Column:
    """A raw column, as an input of the graph has it.

    Attributes:
      dtype: of the input: tf.string, tf.float32, tf.int64, or tf.uint8 for pixels.
      size: of a row of pixels.
      separator: of the parts of a list; None: the column has one value a row.
    """

    dtype: tf.DType
    size: int | None = None
    separator: str | None = None


def columns(transforms: Transforms) -> dict[str, Column]:
    """The raw columns that a graph's features are made of, by input."""
    sizes, separators = inputs.sizes(transforms.fitted), inputs.separators(transforms.fitted)
    return {
        name: Column(spec.dtype, sizes.get(name), separators.get(name))
        for name, spec in transforms.specs.items()
    }


def parse(examples: tf.Tensor, columns: Mapping[str, Column]) -> dict[str, tf.Tensor]:
    """Serialised Examples string [batch] → raw columns [batch] ([batch, size] of pixels), by name.

    What is no Example, has another type, or more values than one in a column of single values fails
    with the name of the feature.
    """
    ragged: Any = tf.io.parse_example(
        examples,
        {
            name: tf.io.RaggedFeature(tf.string if column.size else column.dtype)
            for name, column in columns.items()
        },
    )
    return {name: _column(name, column, ragged[name]) for name, column in columns.items()}


def history(examples: tf.Tensor, name: str) -> tf.Tensor:
    """Serialised Examples string [batch] → the feature's texts, string [batch, longest]."""
    parsed: Any = tf.io.parse_example(examples, {name: tf.io.RaggedFeature(tf.string)})
    return parsed[name].to_tensor("")


def timed_history(examples: tf.Tensor, name: str, times: str) -> tuple[tf.Tensor, tf.Tensor]:
    """The same, and the feature `times`, int64 [batch, longest], which has a value for each text.

    Fails, when it runs, where an Example has more of the ones than of the others.
    """
    kinds = {name: tf.string, times: tf.int64}
    parsed: Any = tf.io.parse_example(
        examples, {feature: tf.io.RaggedFeature(kind) for feature, kind in kinds.items()}
    )
    same = tf.reduce_all(parsed[name].row_lengths() == parsed[times].row_lengths())
    check = tf.debugging.Assert(
        same, [f"an Example has not as many values of {times} as of {name}"]
    )
    with tf.control_dependencies([check]):
        return parsed[name].to_tensor(""), parsed[times].to_tensor(MISSING_TIME)


def _column(name: str, column: Column, values: tf.RaggedTensor) -> tf.Tensor:
    if column.separator is not None:
        # Shorter rows get separators at their end: empty parts, which are dropped.
        return tf.strings.reduce_join(values.to_tensor(""), axis=1, separator=column.separator)
    several = tf.reduce_max(tf.concat([values.row_lengths(), [0]], axis=0)) > 1
    check = tf.debugging.Assert(
        tf.logical_not(several), [f"feature {name!r} of an Example has more values than one"]
    )
    with tf.control_dependencies([check]):
        missing: Any = b"\0" * column.size if column.size else _MISSING[column.dtype]
        single = values.to_tensor(missing, shape=[None, 1])[:, 0]
    if column.size is None:
        return single
    wrong = tf.reduce_any(tf.strings.length(single) != column.size)
    check = tf.debugging.Assert(
        tf.logical_not(wrong),
        [f"feature {name!r} of an Example has not {column.size} bytes"],
    )
    with tf.control_dependencies([check]):
        return tf.io.decode_raw(single, tf.uint8, fixed_length=column.size)
