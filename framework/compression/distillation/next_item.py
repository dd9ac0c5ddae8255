"""A student of the next item at each position.

What its loss needs beside the model, its teachers' item vectors and the projections of its own
states, are parameters below DISTILLATION, which no run hands on.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from podway.framework import task
from podway.framework.compression.distillation import lessons
from podway.framework.compression.distillation.student import (
    IDS,
    LOG_PROBABILITIES,
    STATES,
    Student,
    own,
    plain,
)
from podway.framework.config.model import ShardingRules
from podway.framework.embedding.lookup import EmbeddedRows
from podway.framework.embedding.table import Embedding
from podway.framework.error import check
from podway.framework.input.dataset import Dataset
from podway.framework.losses.directions import direction_loss
from podway.framework.losses.distillation import soft_cross_entropy
from podway.framework.losses.divergence import divergence
from podway.framework.models.parts.history import item_rows
from podway.framework.models.parts.item_losses import ItemLoss, Predictions
from podway.framework.schema.schema import FIRST_VALUE, Schema

DISTILLATION = "distillation"
"""Where a student's module has what its loss needs beside the model."""


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
class NextItemStudent(Student):
    """A student of the next item at each position.

    Attributes:
      whole: whether teachers are known by their states and item vectors, rather than by their most
        probable items.
      hidden_weight: of the loss that compares states.
      teachers: whose states are read, in number.
    """

    whole: bool = False
    hidden_weight: float = 0.0
    teachers: int = 0

    sharding_of_lessons: ClassVar[ShardingRules] = (
        (rf"{DISTILLATION}/\d+/constants/table", ("tensor", "fsdp")),
        (rf"{DISTILLATION}/\d+/projection", (None, None)),
    )
    """A teacher's item vectors lie as the student's own do."""

    @property
    def sharding_rules(self) -> ShardingRules:  # type: ignore[override]
        """Those of the model, and of what the loss needs beside it."""
        beside = self.sharding_of_lessons if self.teachers else ()
        return (*beside, *self.model.sharding_rules)

    @property
    def columns(self) -> list[str]:
        """The lessons that are read."""
        targets = [] if self.whole else [IDS, LOG_PROBABILITIES]
        return targets + [f"{STATES}{number}" for number in range(self.teachers)]

    def build(self, schema: Schema, rngs: nnx.Rngs) -> nnx.Module:
        """The model's module, which has the teachers' parts below DISTILLATION."""
        module = super().build(schema, rngs)
        if self.teachers:
            rows, own_width = item_rows(schema["item"].size), getattr(self.model, "width", 0)
            parts = [
                _Part(
                    rows if self.whole else None,
                    own_width if self.hidden_weight else None,
                    schema[f"{STATES}{number}"].shape[0],
                    rngs,
                )
                for number in range(self.teachers)
            ]
            setattr(module, DISTILLATION, nnx.List(parts))
        return module

    def constants(self, dataset: Dataset) -> dict[str, Any]:
        """The model's, and the teachers' item vectors."""
        found = dict(self.model.constants(dataset))
        if self.whole:
            assert isinstance(dataset, lessons.Taught)
            tables = lessons.kept(dataset.folder_of(f"{STATES}0"))
            found |= {
                f"{DISTILLATION}/{number}/constants/table": tables[f"{STATES}{number}"]
                for number in range(self.teachers)
            }
        return found

    def lengths(self, schema: Schema) -> dict[str, int]:
        """The model's columns, and beside each item what was said after it."""
        columns = self.model.lengths(own(schema))
        return columns | dict.fromkeys(self.columns, columns["item"])

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
        """weight · soft + (1 − weight) · the model's own loss + hidden_weight · the states' loss,
        all at the same positions."""
        assert isinstance(self.model, NextItem)
        each = self.model.predictions(module, plain(batch), rows, context)
        hard = jnp.asarray(self.model.objective.loss(each, rows))
        taught = {name: batch[name][:, :-1] for name in self.columns}
        soft = self._soft(module, each, taught)
        loss = self.weight * soft + (1 - self.weight) * hard
        metrics = {"soft_loss": soft, "hard_loss": hard}
        if self.hidden_weight:
            metrics["hidden_loss"] = self._hidden(module, each, taught)
            loss += self.hidden_weight * metrics["hidden_loss"]
        return loss, each.weights.sum().astype(jnp.float32), metrics

    def _soft(self, module: Any, each: Predictions, taught: task.Batch) -> Float[Array, ""]:
        how: Any = self.temperature, FIRST_VALUE, each.items, each.devices
        student = each.hidden, each.table
        if not self.whole:
            said = taught[IDS], taught[LOG_PROBABILITIES]
            return jnp.asarray(soft_cross_entropy(*student, *said, each.weights, *how))
        rows = each.table.shape[0]
        teachers = tuple(
            (taught[f"{STATES}{number}"], _of_rows(part.constants["table"], rows))
            for number, part in enumerate(getattr(module, DISTILLATION))
        )
        return jnp.asarray(divergence(*student, teachers, each.weights, *how))

    def _hidden(self, module: Any, each: Predictions, taught: task.Batch) -> Float[Array, ""]:
        """The mean over teachers, each of which has a projection of its own."""
        losses = [
            direction_loss(
                each.hidden @ part.projection[...], taught[f"{STATES}{number}"], each.weights
            )
            for number, part in enumerate(getattr(module, DISTILLATION))
        ]
        return jnp.stack(losses).mean()


def _of_rows(table: Float[Array, "others width"], rows: int) -> Float[Array, "rows width"]:
    """A table with as many rows as the student's, which may be padded otherwise."""
    return jnp.pad(table, ((0, max(0, rows - table.shape[0])), (0, 0)))[:rows]


class _Part(nnx.Module):
    """What a loss needs of a teacher beside its states: its item vectors, [rows, width], and how
    the student's states are projected to its own, [own width, width]; None: not that."""

    def __init__(self, rows: int | None, own_width: int | None, width: int, rngs: nnx.Rngs):
        if rows is not None:
            table = jax.ShapeDtypeStruct((rows, width), jnp.float32)
            self.constants = task.Constants({"table": table})
        if own_width is not None:
            init = nnx.initializers.lecun_normal()
            self.projection = nnx.Param(init(rngs.params(), (own_width, width)))
