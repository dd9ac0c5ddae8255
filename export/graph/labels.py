"""The TensorFlow side of a served model of rows: raw columns → the answers to its labels.

    serving_default   an input per raw column, [batch] → label f32 [batch], or [batch, classes]
    examples          examples string [batch], serialised tf.Examples → the same
    classify, regress inputs string [batch], the same Examples → what TensorFlow Serving's Classify
                      and Regress answer with; see export/graph/classify_regress.py

Inputs are what export/graph/features.py says: text as string, numbers as f32, times as int64
seconds since 1970; missing are "", NaN and −2⁶³. User and item are text; of one that training
never saw, the model knows that it is unknown, and no attributes.
"""

import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from podway.export.contract import Kind
from podway.export.graph import classify_regress, examples, times
from podway.export.graph.features import Tensors, Transforms
from podway.export.graph.lowered import LoweredModule, weights
from podway.export.lowering.labels import Reading
from podway.export.lowering.stablehlo import LoweredFunction
from podway.framework.config.features import kind


class LabelsModule(tf.Module):
    """The signature over one lowered function (export/lowering/labels.py).

    Args:
      function: the lowered function.
      parameters: by path.
      reading: what it reads.
      labels: what its results are called, and what kinds of labels these are.
      buckets: the batch sizes that may be compiled.
      directory: a local one, for the assets of the vocabularies until the module is saved.
    """

    def __init__(
        self,
        function: LoweredFunction,
        parameters: dict[str, np.ndarray],
        reading: Reading,
        labels: dict[str, Kind],
        buckets: tuple[int, ...],
        directory: os.PathLike,
    ):
        super().__init__()
        self._lowered = LoweredModule(function, weights([function], parameters), buckets)
        self._transforms = Transforms(
            reading.fitted, reading.vocabularies, reading.lengths, directory
        )
        inputs = self._transforms.inputs
        self._times = sorted(
            {
                inputs[one.transform.name]
                for one in self._transforms.fitted
                if kind(one.transform) == "time"
            }
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

    @property
    def separators(self) -> dict[str, str]:
        """Of the parts of lists, by the inputs that are lists."""
        columns = examples.columns(self._transforms).items()
        return {name: column.separator for name, column in columns if column.separator is not None}

    def signatures(self) -> dict[str, Callable[..., Tensors]]:
        """Signature name → concrete function."""

        def predict(**raw: tf.Tensor) -> Tensors:
            sent = {name: times.microseconds(raw[name]) for name in self._times}
            columns = self._transforms(raw | sent)
            for (name, key), table in zip(self._keys.items(), self._tables, strict=True):
                columns[name] = tf.gather(table, columns[key])
            answers = self._lowered(*(columns[name] for name in self._columns))
            return dict(zip(self._labels, answers, strict=True))

        # One function in the graph, which all signatures call.
        shared = tf.function(predict, autograph=False).get_concrete_function(**self.specs)
        parts = examples.columns(self._transforms)
        return classify_regress.make(shared, parts, self._labels)
