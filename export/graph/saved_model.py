"""The SavedModel's own files: graph, variables and vocabulary."""

import pathlib
import tempfile

import numpy as np
import tensorflow as tf

from podway.export.contract import Contract
from podway.export.error import ExportError
from podway.export.graph.recommender import RecommenderModule
from podway.export.lowering.stablehlo import LoweredFunction
from podway.framework.schema.schema import FIRST_VALUE, Vocabulary


def write(
    directory: pathlib.Path,
    function: LoweredFunction,
    filtered: LoweredFunction | None,
    parameters: dict[str, np.ndarray],
    vocabulary: Vocabulary,
    contract: Contract,
) -> None:
    """Writes saved_model.pb, variables/ and assets/ into a local directory.

    `function` and `filtered` as graph.recommender.RecommenderModule has them.

    Raises ExportError where the vocabulary cannot be looked up in.
    """
    _check(vocabulary)
    with tempfile.TemporaryDirectory() as scratch:
        values = pathlib.Path(scratch) / "item_values.tensor"
        values.write_bytes(tf.io.serialize_tensor(list(vocabulary.values)).numpy())
        model = RecommenderModule(function, filtered, parameters, vocabulary, values, contract)
        tf.saved_model.save(model, str(directory), signatures=model.signatures())


def _check(vocabulary: Vocabulary) -> None:
    """Each value must lead to one id, and "" is what clients pad with."""
    first: dict[str, int] = {"": 0}
    for row, value in enumerate(vocabulary.values[FIRST_VALUE:], FIRST_VALUE):
        if value in first:
            raise ExportError(
                f"the item vocabulary has {value!r} in rows {first[value]} and {row};"
                ' values must differ, and "" means padding'
            )
        first[value] = row
