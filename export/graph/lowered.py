"""A lowered function in a TensorFlow graph, called in batches of the sizes that may be compiled.

Each batch size is compiled when it is first met, so a batch is padded to the next of its buckets;
what exceeds the largest one goes through it in parts.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

from podway.export.lowering.stablehlo import LoweredFunction


def weights(
    functions: Iterable[LoweredFunction], parameters: Mapping[str, np.ndarray]
) -> dict[str, tf.Variable]:
    """What the functions need of the parameters, by path, once for all of them.

    As variables: a new version of the same shapes then finds the compiled functions of the old one.
    """
    paths = dict.fromkeys(path for function in functions for path in function.weights)
    return {
        path: tf.Variable(
            tf.convert_to_tensor(parameters[path]), trainable=False, name=f"weight_{index}"
        )
        for index, path in enumerate(paths)
    }


class LoweredModule(tf.Module):
    """A function of weights and columns, its weights at hand.

    Args:
      function: the function.
      weights: by path.
      buckets: the batch sizes, rising.
    """

    def __init__(
        self,
        function: LoweredFunction,
        weights: Mapping[str, tf.Variable],
        buckets: tuple[int, ...],
    ):
        super().__init__()
        self._function, self._buckets = function, buckets
        # A flat list: paths with integers in them would not survive as attributes.
        self._weights = [weights[path] for path in function.weights]

    def __call__(self, *columns: tf.Tensor) -> list[tf.Tensor]:
        """The function's results for any number of rows, none as well."""
        total, sizes = tf.shape(columns[0])[0], tf.constant(self._buckets)
        function = self._function

        def rows_left(start, *_):
            return start < total

        def one_batch(start, *results):
            rows = tf.minimum(total - start, self._buckets[-1])
            bucket = sizes[tf.searchsorted(sizes, rows[tf.newaxis])[0]]
            padded = (
                tf.pad(
                    column[start : start + rows],
                    [[0, bucket - rows]] + [[0, 0]] * (len(column.shape) - 1),
                )
                for column in columns
            )
            answers = self._call(*padded)
            joined = (
                tf.concat([result, answer[:rows]], axis=0)
                for result, answer in zip(results, answers, strict=True)
            )
            return (start + rows, *joined)

        empty = [
            tf.zeros([0, *shape[1:]], dtype)
            for dtype, shape in zip(function.dtypes, function.shapes, strict=True)
        ]
        shapes = [tf.TensorShape([]), *(tf.TensorShape(shape) for shape in function.shapes)]
        return tf.while_loop(rows_left, one_batch, [tf.constant(0), *empty], shapes)[1:]

    def _call(self, *columns: tf.Tensor) -> list[tf.Tensor]:
        function = self._function
        results: Any = xla.call_module(
            [*self._weights, *columns],
            version=function.calling_convention,
            module=function.module,
            Tout=function.dtypes,
            Sout=function.shapes,
            platforms=function.platforms,
        )
        for result, shape in zip(results, function.shapes, strict=True):
            result.set_shape(shape)
        return results
