"""The SavedModel's own files: graph, variables and vocabulary."""

import pathlib
import tempfile
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from podway.export.contract import Contract
from podway.export.error import ExportError
from podway.export.graph.recommender import RecommenderModule
from podway.export.layout import VALUES
from podway.export.lowering.stablehlo import LoweredFunction
from podway.framework.schema.schema import FIRST_VALUE, Vocabulary


def write(
    directory: pathlib.Path,
    function: LoweredFunction,
    filtered: LoweredFunction | None,
    parameters: dict[str, np.ndarray],
    vocabulary: Vocabulary,
    contract: Contract,
    attributes: Mapping[str, Sequence[str]],
) -> None:
    """Writes saved_model.pb, variables/ and assets/ into a local directory.

    `function` and `filtered` as graph.recommender.RecommenderModule has them; `attributes` are
    those that are answered, by name, row = id.

    Raises ExportError where the vocabulary cannot be looked up in.
    """
    _check(vocabulary)
    with tempfile.TemporaryDirectory() as scratch:
        values = pathlib.Path(scratch) / VALUES
        _serialize(values, vocabulary.values)
        texts = {}
        for number, (name, of_items) in enumerate(attributes.items()):
            texts[name] = pathlib.Path(scratch) / f"item_attribute_{number}.tensor"
            _serialize(texts[name], of_items)
        model = RecommenderModule(
            function, filtered, parameters, vocabulary, values, contract, texts
        )
        tf.saved_model.save(model, str(directory), signatures=model.signatures())


def _serialize(file: pathlib.Path, texts: Sequence[str]) -> None:
    file.write_bytes(tf.io.serialize_tensor(list(texts)).numpy())


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
