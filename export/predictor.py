"""The TensorFlow side of a served model of rows: raw columns → the answers to its labels.

    serving_default   an input per raw column, [batch] → label f32 [batch], or [batch, classes]

Inputs are what export/transform.py says: text as string, numbers as f32, times as int64
microseconds since 1970; missing are "", NaN and −2⁶³. User and item are text; of one that training
never saw, the model knows that it is unknown, and no attributes.
"""

import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from export.lowered import Lowered, weights
from export.predict import Reading
from export.stablehlo import Program
from export.transform import Tensors, Transforms

SIGNATURE = "serving_default"


class Predictor(tf.Module):
    """The signature over one lowered function (predict.function).

    Args:
      program: the lowered function.
      parameters: by path.
      reading: what it reads.
      labels: what its results are called.
      buckets: the batch sizes that may be compiled.
      directory: a local one, for the assets of the vocabularies until the module is saved.
    """

    def __init__(
        self,
        program: Program,
        parameters: dict[str, np.ndarray],
        reading: Reading,
        labels: tuple[str, ...],
        buckets: tuple[int, ...],
        directory: os.PathLike,
    ):
        super().__init__()
        self._lowered = Lowered(program, weights([program], parameters), buckets)
        self._transforms = Transforms(
            reading.fitted, reading.vocabularies, reading.lengths, directory
        )
        self._columns, self._labels = tuple(reading.columns), labels
        self._keys = {name: lookup.key for name, lookup in reading.tables.items()}
        # Variables, as a graph of constants may not exceed 2 GB.
        self._tables = [
            tf.Variable(tf.convert_to_tensor(lookup.values), trainable=False, name=f"table_{index}")
            for index, lookup in enumerate(reading.tables.values())
        ]

    @property
    def specs(self) -> dict[str, tf.TensorSpec]:
        """The inputs, by name."""
        return self._transforms.specs

    @property
    def inputs(self) -> dict[str, str]:
        """Feature → the name of its input."""
        return self._transforms.inputs

    def signatures(self) -> dict[str, Callable[..., Tensors]]:
        """Signature name → concrete function."""

        def predict(**raw: tf.Tensor) -> Tensors:
            columns = self._transforms(raw)
            for (name, key), table in zip(self._keys.items(), self._tables, strict=True):
                columns[name] = tf.gather(table, columns[key])
            answers = self._lowered(*(columns[name] for name in self._columns))
            return dict(zip(self._labels, answers, strict=True))

        predict = tf.function(predict, autograph=False)
        return {SIGNATURE: predict.get_concrete_function(**self.specs)}
