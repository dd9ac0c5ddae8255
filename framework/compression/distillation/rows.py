"""A student of labels of rows."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from podway.framework import task
from podway.framework.compression.distillation.student import LOGITS, Student, own, plain
from podway.framework.embedding.lookup import EmbeddedRows
from podway.framework.heads import Binary, Head, Regression
from podway.framework.schema.schema import EVENT_WEIGHT, Schema


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
        read = plain(batch)
        hard, count, metrics = model.loss(module, read, rows, context)
        said, soft, first = model.predict(module, read, rows, context), jnp.zeros(()), 0
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
