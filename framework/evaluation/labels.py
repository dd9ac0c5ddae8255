"""The evaluator of models that predict labels: all rows of a split, by each label's metrics."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from podway.framework import config, progress
from podway.framework.devices import mesh
from podway.framework.error import check
from podway.framework.evaluation.evaluator import Compute, Evaluate, EvaluationResult, Metrics
from podway.framework.heads import Head
from podway.framework.input import join
from podway.framework.input.batches import batch_shapes, row_batches
from podway.framework.input.dataset import Dataset
from podway.framework.input.placement import examples_placer
from podway.framework.metrics import labels
from podway.framework.metrics.labels import Estimate
from podway.framework.schema.schema import Schema
from podway.framework.task import Inference, LabelModel, inference

PRIOR = 20
"""Rows of the mean of all items that the mean of one item is joined with, as a baseline."""


@dataclasses.dataclass(frozen=True)
class LabelEvaluator:
    """Evaluates each label by its own metrics, "LABEL/METRIC" (an Evaluator,
    framework/evaluation/evaluator.py).

    Attributes:
      model: whose predictions are evaluated.
      options: rows at once, and the resamples of the users.
    """

    model: LabelModel
    options: config.Evaluation

    largest_is_best = False
    remark = ""

    @property
    def metric(self) -> str:
        """The first label's loss."""
        first = self.model.objectives[0]
        return f"{first.label}/{first.selects}"

    def lengths(self, schema: Schema) -> dict[str, int]:
        """The columns that the model reads, without the labels and what they count in training."""
        lengths = self.model.lengths(schema)
        return {
            name: length
            for name, length in lengths.items()
            if join.is_joined(name) or schema[name].role not in ("label", "weight")
        }

    def shapes(self, schema: Schema) -> dict[str, jax.ShapeDtypeStruct]:
        """The columns of a batch of rows."""
        shapes = batch_shapes(schema, self.lengths(schema), self.options.batch_size)
        return {name: jax.ShapeDtypeStruct(*shape) for name, shape in shapes.items()}

    def inference(self, schema: Schema) -> Inference:
        """Logits by label."""
        return inference(self.model, schema, self.model.predict)

    def for_split(
        self,
        dataset: Dataset,
        split: str,
        *,
        devices: jax.sharding.Mesh | None = None,
        intervals: bool = True,
    ) -> Evaluate:
        """Evaluates on a split's rows; see Evaluator. Labels of another kind are a ConfigError."""
        rows = dataset.examples(split)
        check(rows > 0, f"{dataset.directory} has no {split} examples to evaluate on")
        truth = self._truth(dataset, split)
        lengths, batch_size = self.lengths(dataset.schema), self.options.batch_size
        place = examples_placer(devices)
        collect = jax.jit(lambda x: x, out_shardings=mesh.replicated(devices)) if devices else None

        def predict(compute: Compute, label: str) -> dict[str, np.ndarray]:
            parts = []
            with progress.shown(
                label or split,
                unit="row",
                total=rows,
                stays=bool(label),
                silent=devices is not None and jax.process_index() != 0,
            ) as bar:
                for batch in row_batches(dataset, split, lengths, batch_size):
                    said = compute({name: place(column) for name, column in batch.columns.items()})
                    said = jax.device_get(collect(said) if collect else said)
                    parts.append({name: answer[batch.valid] for name, answer in said.items()})
                    bar.update(int(batch.valid.sum()))
            return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

        def evaluate(
            compute: Compute, label: str = "", *, baseline: bool = False
        ) -> EvaluationResult:
            logits = predict(compute, label)
            table: Metrics = {}
            for head in self.model.objectives:
                finite = np.isfinite(logits[head.label])
                numbers = np.where(finite, logits[head.label], 0)
                found = head.measure(numbers, truth[head.label], truth["user"])
                rows = len(truth["user"])
                invalid = rows - int(np.count_nonzero(finite.reshape(rows, -1).all(1)))
                if invalid:  # a sort or an argmax would take it for the best
                    found = dict.fromkeys(found, Estimate(float("nan")))
                    table[f"{head.label}/invalid_predictions"] = {
                        "value": invalid / rows,
                        "rows": invalid,
                    }
                for metric, estimate in found.items():
                    if estimate is not None:
                        cell = self._cell(estimate, truth["user"], intervals)
                        table[f"{head.label}/{metric}"] = cell
            return EvaluationResult(table)

        return evaluate

    def _cell(self, estimate: Estimate, users: np.ndarray, intervals: bool) -> dict[str, float]:
        cell = {"value": estimate.value}
        if intervals:
            options = self.options
            found = labels.interval(estimate, users, options.bootstrap, options.seed)
            cell |= dict(zip(("low", "high"), found, strict=True)) if found else {}
        return cell

    def _truth(
        self, dataset: Dataset, split: str, others: Sequence[str] = ()
    ) -> dict[str, np.ndarray]:
        """The labels of a split, its users, and `others`, in the order of the rows."""
        blocks = dataset.blocks(split)
        names = [head.label for head in self.model.objectives]
        users = ["user"] if dataset.schema.has("user") else []
        found = blocks.read(np.arange(len(blocks.rows)), [*names, *users, *others])
        columns = {name: column for name, column in found.items() if isinstance(column, np.ndarray)}
        if not users:  # each row is as if of a user of its own
            columns["user"] = np.arange(len(columns[names[0]]))
        for head in self.model.objectives:
            head.check_labels(columns[head.label])
        return columns

    def baselines(self, dataset: Dataset, seed: int) -> dict[str, Compute]:
        """The mean of the train split, and, where the model reads the item, that of the item."""
        by_item = "item" in self.lengths(dataset.schema)
        truth = self._truth(dataset, "train", ("item",) if by_item else ())
        found: dict[str, Compute] = {"mean": _constant(self.model.objectives, truth)}
        if by_item:
            size = dataset.schema["item"].size
            found["item mean"] = _of_items(self.model.objectives, truth, size)
        return found


def _constant(objectives: Sequence[Head], truth: Mapping[str, np.ndarray]) -> Compute:
    logits = {
        head.label: head.logits(head.targets(truth[head.label]).mean(0)) for head in objectives
    }

    def mean(batch: Any) -> dict[str, np.ndarray]:
        rows = len(next(iter(batch.values())))
        return {name: np.broadcast_to(each, (rows, *each.shape)) for name, each in logits.items()}

    return mean


def _of_items(objectives: Sequence[Head], truth: Mapping[str, np.ndarray], items: int) -> Compute:
    """Means by item, each joined with PRIOR rows of the mean of all."""
    logits = {}
    for head in objectives:
        targets = head.targets(truth[head.label])
        sums = np.zeros((items, *targets.shape[1:]))
        np.add.at(sums, truth["item"], targets)
        counts = np.bincount(truth["item"], minlength=items).reshape(-1, *[1] * (sums.ndim - 1))
        logits[head.label] = head.logits((sums + PRIOR * targets.mean(0)) / (counts + PRIOR))

    def mean_of_item(batch: Any) -> dict[str, np.ndarray]:
        return {name: each[batch["item"]] for name, each in logits.items()}

    return mean_of_item
