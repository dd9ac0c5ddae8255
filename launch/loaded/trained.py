"""A run's recommender, answered by JAX from the selected checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from podway.export import contract
from podway.export.lowering import recommender as lowering
from podway.framework import config, task
from podway.framework.input.columns import Arrays
from podway.framework.input.dataset import Dataset
from podway.framework.schema.schema import FIRST_VALUE, OUT_OF_VOCABULARY, Schema
from podway.launch.loaded.engine import Answer, Filter, allowed
from podway.launch.loaded.error import RequestError, require
from podway.launch.loaded.histories import Histories, Items

_BATCH = 256
_SCORES = 1 << 26
"""Scores that a batch may have: 256 MiB."""


class Trained:
    """An Engine (engine.py), and what only a run can say: all scores, and the embeddings.

    Histories are read as a served model reads them (export/contract.py), and ranked by the very
    function that is exported.

    Args:
      experiment: of the run.
      schema: that it was trained on.
      parameters: of the selected checkpoint, by path.
      dataset: that it was trained on.
    """

    def __init__(
        self, experiment: config.Experiment, schema: Schema, parameters: Arrays, dataset: Dataset
    ):
        vocabulary = dataset.vocabulary("item")
        self.items = Items(vocabulary.values)
        self._unknown = vocabulary.counts[OUT_OF_VOCABULARY] > 0
        self._model = task.of_kind(experiment.model, task.Recommender)
        self._schema, self._exclude_seen = schema, experiment.evaluation.exclude_seen
        self._length = contract.longest_history(experiment.export, schema)
        self._parameters = jax.device_put(parameters)
        self._compiled: dict[int | str, Callable[..., Any]] = {}

    @property
    def timed(self) -> bool:
        """Whether the model reads times."""
        return self._model.reads_times()

    def check(self, k: int, *, filtered: bool) -> None:
        """A run answers with any number of its items, and filtered."""
        count = len(self.items.values) - FIRST_VALUE
        require(1 <= k <= count, f"k is {k}; give 1 to {count}, the number of items")

    def recommend(self, histories: Histories, k: int, filters: Sequence[Filter]) -> Answer:
        """See Engine."""
        function = self._ranked(k)
        parts = []
        for start, columns in self._batches(histories):
            rows = len(columns[0])
            if filters:
                masks = allowed(filters[start : start + rows], self.items)
                columns = [*columns, np.pad(masks, ((0, rows - len(masks)), (0, 0)))]
            parts.append(jax.device_get(function(self._parameters, *columns)))
        scores, ids = (np.concatenate(part)[: len(histories)] for part in zip(*parts, strict=True))
        return Answer(ids, scores, {})

    def scores(self, histories: Histories) -> np.ndarray:
        """The score of every item, seen or not, f32 [histories, items]."""
        return self._said("scores", histories)[:, FIRST_VALUE : len(self.items.values)]

    def user_embeddings(self, histories: Histories) -> np.ndarray:
        """[histories, width]; the product with those of the items is `scores`."""
        self._check_factored()
        return self._said("query", histories).astype(np.float32)

    def item_embeddings(self) -> np.ndarray:
        """[items, width]."""
        self._check_factored()
        item = np.full(1, FIRST_VALUE, np.int32)
        times = np.zeros(1, np.int64) if self.timed else None
        any_history = Histories(item, np.array([0, 1]), times)
        table = self._said("table", any_history)
        return table[FIRST_VALUE : len(self.items.values)].astype(np.float32)

    def _ranked(self, k: int) -> Callable[..., Any]:
        if k not in self._compiled:
            seen = self._exclude_seen
            function = lowering.recommend(self._model, self._schema, k, exclude_seen=seen)
            self._compiled[k] = jax.jit(function)
        return self._compiled[k]

    def _head(self, what: str) -> Callable[..., Any]:
        if what not in self._compiled:
            model: Any = self._model
            head = model.scores if what == "scores" else model.factors
            infer = task.inference(model, self._schema, head)

            def said(parameters: task.Parameters, history: Any, *times: Any) -> Any:
                batch = {"item": history} | dict(zip(["time"], times, strict=False))
                answer = infer(parameters, batch, task.SERVING)
                return answer if what == "scores" else getattr(answer, what)

            self._compiled[what] = jax.jit(said)
        return self._compiled[what]

    def _said(self, what: str, histories: Histories) -> np.ndarray:
        function = self._head(what)
        parts = [
            jax.device_get(function(self._parameters, *columns))
            for _, columns in self._batches(histories)
        ]
        return parts[0] if what == "table" else np.concatenate(parts)[: len(histories)]

    def _batches(self, histories: Histories) -> Iterator[tuple[int, list[np.ndarray]]]:
        """Where each batch starts, and its columns; of few sizes, as each is compiled."""
        most = int(np.clip(_SCORES // len(self.items.values), 1, _BATCH))
        size = min(1 << (max(len(histories), 1) - 1).bit_length(), 1 << (most.bit_length() - 1))
        for start in range(0, max(len(histories), 1), size):
            part = histories[start : start + size]
            columns = part.latest(self._length, unknown=self._unknown)
            yield start, [np.pad(each, ((0, size - len(part)), (0, 0))) for each in columns]

    def _check_factored(self) -> None:
        if not isinstance(self._model, task.Factored):
            raise RequestError(
                f"{type(self._model).__name__} has no embeddings of users and items whose products"
                " its scores are; ask for scores"
            )
