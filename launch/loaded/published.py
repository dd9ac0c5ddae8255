"""A published recommender, answered by TensorFlow as servers run it."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from etils import epath

from podway.export.layout import VALUES
from podway.export.silence import silence_tensorflow
from podway.framework.schema.schema import PADDING
from podway.launch.loaded.engine import Answer, Filter
from podway.launch.loaded.error import require
from podway.launch.loaded.histories import Histories, Items

with silence_tensorflow():  # TensorFlow's native code greets
    import tensorflow as tf

    from podway.export.graph.features import MISSING_TIME
    from podway.export.verification import sessions

_ROWS = 256
"""Histories in one call, at least; the graph takes them apart."""


class Published:
    """An Engine (engine.py) over the signatures of a SavedModel.

    Args:
      directory: of the version.
      details: of its manifest.
    """

    def __init__(self, directory: epath.Path, details: dict[str, Any]):
        self._directory, self._details = directory, details
        self._signatures = load(directory, self)
        values = tf.io.parse_tensor(tf.io.read_file(str(directory / "assets" / VALUES)), tf.string)
        self.items = Items(tuple(value.decode() for value in values.numpy()))

    @property
    def timed(self) -> bool:
        """Whether the model reads times."""
        return self._details.get("times", False)

    def check(self, k: int, *, filtered: bool) -> None:
        """It answers with what it was exported with."""
        top, name = self._details["top_k"], self._directory.parent.name
        require(
            1 <= k <= top,
            f"k is {k}, and {self._directory} was exported with export.top_k = {top}; give 1 to"
            f" {top}, export {name} with --export.top-k {max(k, 1)}, or load its run",
        )
        require(
            not filtered or "filtered" in self._signatures,
            f"{self._directory} was exported without export.candidate_filter; export {name} with"
            " --export.candidate-filter, or load its run",
        )

    def recommend(self, histories: Histories, k: int, filters: Sequence[Filter]) -> Answer:
        """See Engine."""
        parts = [
            self._ask(histories[start : start + _ROWS], filters[start : start + _ROWS])
            for start in range(0, max(len(histories), 1), _ROWS)
        ]
        found = {name: np.concatenate([part[name] for part in parts])[:, :k] for name in parts[0]}
        ids, scores = found.pop("item"), found.pop("score")
        attributes = {name: _decoded(column) for name, column in found.items()}
        return Answer(ids.astype(np.int32), scores, attributes)

    def _ask(self, histories: Histories, filters: Sequence[Filter]) -> dict[str, np.ndarray]:
        inputs = {"history": _rectangle(histories.ids.astype(np.int64), histories, PADDING)}
        if histories.times is not None:
            inputs["times"] = _rectangle(histories.times, histories, MISSING_TIME)
        name = "ids"
        if filters:
            name, ids = "filtered", inputs["history"]
            texts = np.where(ids == PADDING, "", self.items.texts(ids))
            texts[(ids != PADDING) & (texts == "")] = self._stranger
            inputs["history"] = _encoded(texts)
            for each in ("allow", "deny"):
                lists = [getattr(one, each) for one in filters]
                inputs[each] = _encoded(_texts(lists))
        found = sessions.run(self._signatures[name], inputs, str(self._directory))
        if filters:
            texts = _decoded(found["item"])
            known = self.items.ids | {"": PADDING}
            ids = np.array([known[text] for text in texts.ravel()], np.int64)
            found["item"] = ids.reshape(texts.shape)
        return found

    @property
    def _stranger(self) -> str:
        """A text that is no item."""
        text = "?"
        while text in self.items.ids:
            text += "?"
        return text


def load(directory: epath.Path, owner: object) -> dict[str, sessions.Signature]:
    """The signatures, by name, for as long as the owner is there.

    TensorFlow computes on the CPU: accelerators are JAX's.
    """
    with silence_tensorflow():
        with contextlib.suppress(RuntimeError):  # it was used before, and has its devices
            tf.config.set_visible_devices([], "GPU")
        found = sessions.load(directory)
    # At the end of the process, before TensorFlow's modules go away that release them.
    weakref.finalize(owner, found.clear)
    return found


def _rectangle(values: np.ndarray, histories: Histories, padding: int) -> np.ndarray:
    lengths = np.diff(histories.offsets)
    array = np.full((len(histories), int(lengths.max(initial=0))), padding, np.int64)
    array[np.arange(array.shape[1]) < lengths[:, None]] = values
    return array


def _texts(lists: Sequence[Sequence[str]]) -> np.ndarray:
    array = np.full((len(lists), max(map(len, lists), default=0)), "", object)
    for row, values in zip(array, lists, strict=True):
        row[: len(values)] = values
    return array


def _encoded(texts: np.ndarray) -> np.ndarray:
    return np.array([text.encode() for text in texts.ravel()], object).reshape(texts.shape)


def _decoded(values: np.ndarray) -> np.ndarray:
    return np.array([value.decode() for value in values.ravel()], object).reshape(values.shape)
