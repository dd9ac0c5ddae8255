"""Models that learn from lessons (lessons.py): all but their loss is that of the model inside."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from podway.framework import task
from podway.framework.compression.lessons import LESSON
from podway.framework.config.model import ShardingRules
from podway.framework.embedding.lookup import EmbeddedRows, Lookup
from podway.framework.embedding.table import Embedding
from podway.framework.error import check
from podway.framework.heads import Binary, Head, Regression
from podway.framework.input.dataset import Dataset
from podway.framework.losses.distillation import soft_cross_entropy
from podway.framework.models.parts.item_losses import ItemLoss, Predictions
from podway.framework.schema.schema import EVENT_WEIGHT, FIRST_VALUE, Schema

IDS, LOG_PROBABILITIES = "teacher_ids", "teacher_log_probabilities"
"""Columns of a taught dataset: after each item, the teachers' most probable next ones."""
LOGITS = "teacher_logits"
"""Column of a taught dataset of rows: the teachers' mean logits, label after label."""


@runtime_checkable
class NextItem(Protocol):
    """A model that says the next item at each position of a training batch."""

    @property
    def objective(self) -> ItemLoss:
        """What a position's state is made to say of its target."""
        ...

    def predictions(
        self,
        module: Any,
        batch: task.Batch,
        rows: Mapping[str, EmbeddedRows],
        context: task.ForwardContext,
    ) -> Predictions:
        """The states of a batch, and what they are to predict."""
        ...


@dataclasses.dataclass(frozen=True)
class Student(task.TrainedModel):
    """The base of both: NextItemStudent and RowStudent.

    Attributes:
      model: whose parameters are trained.
      temperature: by which logits are divided, for soft targets.
      weight: share of the teachers in the loss.
    """

    model: task.TrainedModel
    temperature: float
    weight: float

    @property
    def sharding_rules(self) -> ShardingRules:  # type: ignore[override]
        """Those of the model."""
        return self.model.sharding_rules

    def build(self, schema: Schema, rngs: nnx.Rngs) -> nnx.Module:
        """The model's module."""
        return self.model.build(own(schema), rngs)

    def reads_times(self) -> bool:
        """As the model does."""
        return self.model.reads_times()

    def packs(self) -> bool:
        """If the model does."""
        return self.model.packs()

    def embeddings(self, schema: Schema) -> Mapping[str, str]:
        """The model's."""
        return self.model.embeddings(own(schema))

    def sparse(self, schema: Schema) -> Mapping[str, Embedding]:
        """The model's."""
        return self.model.sparse(own(schema))

    def in_formats(self, schema: Schema) -> Collection[str]:
        """The model's."""
        return self.model.in_formats(own(schema))

    def lookups(self, schema: Schema, batch: task.Batch, key: Array) -> dict[str, Lookup]:
        """The model's."""
        return self.model.lookups(own(schema), batch, key)

    def constants(self, dataset: Dataset) -> dict[str, Any]:
        """The model's."""
        return self.model.constants(dataset)


def own(schema: Schema) -> Schema:
    """The schema without lessons, of which the model inside knows nothing."""
    return Schema(tuple(each for each in schema.features if each.role != LESSON))


T = TypeVar("T")


def _plain(batch: Mapping[str, T]) -> dict[str, T]:
    lessons = (IDS, LOG_PROBABILITIES, LOGITS)
    return {name: column for name, column in batch.items() if name not in lessons}


@dataclasses.dataclass(frozen=True)
class NextItemStudent(Student):
    """A student of the next item at each position."""

    def lengths(self, schema: Schema) -> dict[str, int]:
        """The model's columns, and beside each item what was said after it."""
        columns = self.model.lengths(own(schema))
        return columns | dict.fromkeys([IDS, LOG_PROBABILITIES], columns["item"])

    def sparse(self, schema: Schema) -> Mapping[str, Embedding]:
        """None. Raises ConfigError: teachers speak of all items."""
        found = self.model.sparse(own(schema))
        check(
            not found,
            "compression: a student's item table cannot be a sparse one, as teachers speak of all"
            " items: set model.embedding to None",
        )
        return found

    def loss(
        self,
        module: Any,
        batch: task.Batch,
        rows: Mapping[str, EmbeddedRows],
        context: task.ForwardContext,
    ) -> task.Loss:
        """weight · soft + (1 − weight) · the model's own loss, both at the same positions."""
        assert isinstance(self.model, NextItem)
        each = self.model.predictions(module, _plain(batch), rows, context)
        hard = jnp.asarray(self.model.objective.loss(each, rows))
        soft: Any = soft_cross_entropy(
            each.hidden,
            each.table,
            batch[IDS][:, :-1],
            batch[LOG_PROBABILITIES][:, :-1],
            each.weights,
            self.temperature,
            FIRST_VALUE,
            each.items,
            each.devices,
        )
        loss = self.weight * soft + (1 - self.weight) * hard
        weight = each.weights.sum().astype(jnp.float32)
        return loss, weight, {"soft_loss": soft, "hard_loss": hard}


@dataclasses.dataclass(frozen=True)
class RowStudent(Student):
    """A student of labels of rows."""

    def lengths(self, schema: Schema) -> dict[str, int]:
        """The model's columns, and the teachers' logits."""
        return self.model.lengths(own(schema)) | {LOGITS: 1}

    def loss(
        self,
        module: Any,
        batch: task.Batch,
        rows: Mapping[str, EmbeddedRows],
        context: task.ForwardContext,
    ) -> task.Loss:
        """weight · soft + (1 − weight) · the model's own loss, both weighted by labels and rows."""
        model = task.of_kind(self.model, task.LabelModel)
        plain = _plain(batch)
        hard, count, metrics = model.loss(module, plain, rows, context)
        said, soft, first = model.predict(module, plain, rows, context), jnp.zeros(()), 0
        weights = batch.get(EVENT_WEIGHT)
        weights = jnp.ones(batch[LOGITS].shape[0]) if weights is None else weights
        total = jnp.where(weights.sum() > 0, weights.sum(), 1.0)
        for head in model.objectives:
            taught = batch[LOGITS][:, first : first + head.outputs].reshape(said[head.label].shape)
            terms = soft_loss(head, said[head.label], taught, self.temperature)
            terms = jnp.where(weights > 0, terms * weights, 0.0)
            soft, first = soft + head.weight * terms.sum() / total, first + head.outputs
        loss = self.weight * soft + (1 - self.weight) * hard
        return loss, count, metrics | {"soft_loss": soft, "hard_loss": hard}


def soft_loss(
    head: Head, logits: Array, taught: Array, temperature: float
) -> Float[Array, " batch"]:
    """What a label's logits lack of the teachers', row by row: T² · KL of the probabilities at the
    temperature T; of a number the squared difference."""
    if isinstance(head, Regression):
        return (logits - taught) ** 2
    logits, taught = logits / temperature, taught / temperature
    if isinstance(head, Binary):
        p = jax.nn.sigmoid(taught)
        entropy = jax.nn.softplus(taught) - p * taught
        return temperature**2 * (jax.nn.softplus(logits) - p * logits - entropy)
    log_p, log_q = jax.nn.log_softmax(taught, axis=-1), jax.nn.log_softmax(logits, axis=-1)
    return temperature**2 * (jnp.exp(log_p) * (log_p - log_q)).sum(-1)
