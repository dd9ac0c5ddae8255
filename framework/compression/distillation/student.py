"""Models that learn from lessons (lessons.py): all but their loss is that of the model inside."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from flax import nnx
from jaxtyping import Array

from podway.framework import task
from podway.framework.compression.distillation.lessons import LESSON
from podway.framework.config.model import ShardingRules
from podway.framework.embedding.lookup import Lookup
from podway.framework.embedding.table import Embedding
from podway.framework.input.dataset import Dataset
from podway.framework.schema.schema import Schema

IDS, LOG_PROBABILITIES = "teacher_ids", "teacher_log_probabilities"
"""Columns of a taught dataset: after each item, the teachers' most probable next ones."""
STATES = "teacher_states_"
"""Columns of a taught dataset, with a teacher's number at the end: its state after each item."""
LOGITS = "teacher_logits"
"""Column of a taught dataset of rows: the teachers' mean logits, label after label."""


@dataclasses.dataclass(frozen=True)
class Student(task.TrainedModel):
    """The base of NextItemStudent (next_item.py) and RowStudent (rows.py).

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


def plain(batch: Mapping[str, T]) -> dict[str, T]:
    """A batch without lessons."""
    taught = (IDS, LOG_PROBABILITIES, LOGITS)
    return {
        name: column
        for name, column in batch.items()
        if name not in taught and not name.startswith(STATES)
    }
