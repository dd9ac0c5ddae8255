"""Distillation: a small model learns what larger ones say of each history (Hinton et al. 2015,
arXiv:1503.02531), beside what really came next."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
from etils import epath
from flax import nnx
from jaxtyping import Array

from podway.framework import config, task
from podway.framework.code import sources
from podway.framework.compression import lessons, teachers, tune
from podway.framework.config.model import ShardingRules
from podway.framework.embedding.lookup import EmbeddedRows, Lookup
from podway.framework.embedding.table import Embedding
from podway.framework.error import check
from podway.framework.input.dataset import Dataset
from podway.framework.losses.distillation import soft_cross_entropy
from podway.framework.models.parts.causal import CausalModel
from podway.framework.schema.schema import FIRST_VALUE, Feature, Schema

IDS, LOG_PROBABILITIES = "teacher_ids", "teacher_log_probabilities"
"""Columns of a taught dataset: after each item, the teachers' most probable next ones."""


@dataclasses.dataclass(frozen=True)
class Distil(config.Compression):
    """A student that is trained on its teachers' probabilities of each next item."""

    trains: ClassVar[bool] = True

    model: config.Model | None = None
    """The student, which starts at random; None: the model before goes on with its parameters, say
    after a part of it was left out."""
    teachers: tuple[str, ...] = ()
    """Who teaches, by the mean of their probabilities: finished runs, as NAME/RUN in the same
    workdir or as a folder, or published models, as NAME/VERSION or a folder; (): the run before."""
    temperature: float = 1.0
    """By what logits of teachers and student are divided, for soft targets."""
    weight: float = 0.7
    """Share of the teachers in the loss; the rest is the student's own objective."""
    top: int = 64
    """Most probable items that a teacher says at each position, beside what all others have
    together."""
    steps: int | None = None
    """Optimizer steps; None: as many as before."""
    learning_rate: float = 1.0
    """Peak learning rate, in shares of the one before."""

    def __post_init__(self):
        tune.check_training(self)
        check(
            self.temperature > 0,
            f"compression.temperature is {self.temperature}; give more than 0",
        )
        check(
            0 <= self.weight <= 1,
            f"compression.weight is {self.weight}; give a share from 0 to 1",
        )
        check(self.top >= 1, f"compression.top is {self.top}; give 1 or more")

    @property
    def warm(self) -> bool:
        """See config.Compression."""
        return self.model is None

    def after(self, before: config.Before) -> config.Before:
        """See config.Compression."""
        steps = before.trainer.steps if self.steps is None else self.steps
        model = before.model if self.model is None else self.model
        check(
            isinstance(model, CausalModel),
            f"compression.model is {type(model).__name__}; students are models that say the next"
            " item at each position: SasRec, Hstu",
        )
        tuned = tune.tuned(before, steps, self.learning_rate)
        return dataclasses.replace(tuned, model=model)

    def read(self, model: config.Model, dataset: Dataset, before: epath.Path) -> Dataset:
        """See config.Compression: with the teachers' lessons, computed where they are missing."""
        found, schema = teachers.found(self.teachers, before, dataset), dataset.schema
        top = min(self.top, schema["item"].size - FIRST_VALUE)
        about = {
            "dataset": dataset.manifest.version,
            "teachers": [each.version for each in found],
            "temperature": self.temperature,
            "top": top,
            "code": _code(found),
        }
        name = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
        sharpness = [teachers.sharpness(each, dataset, batch_size=64) for each in found]
        say = teachers.soft_targets(
            found, dataset, top=top, temperature=self.temperature, sharpness=sharpness
        )

        def compute(block: int) -> dict[str, Any]:
            said = say(block)
            names = {"ids": IDS, "log_probabilities": LOG_PROBABILITIES}
            return {names.get(name, name): column for name, column in said.items()}

        return lessons.teach(
            dataset,
            before.parent.parent.parent / lessons.FOLDER / name,
            (
                Feature(IDS, "feature", "int32", True, shape=(top,)),
                Feature(LOG_PROBABILITIES, "feature", "float32", True, shape=(top,)),
            ),
            about,
            compute,
        )

    def trained(self, model: config.Model, dataset: Dataset, before: epath.Path) -> config.Model:
        """See config.Compression."""
        return Student(task.of_kind(model, CausalModel), self.temperature, self.weight)


def _code(found: list[teachers.Teacher]) -> str:
    """Hash of what computes the lessons."""
    digest = hashlib.sha256()
    for module in (teachers, lessons):
        digest.update(pathlib.Path(str(module.__file__)).read_bytes())
    for each in found:
        digest.update(sources.code("run", each.experiment).encode())
    return digest.hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Student(task.TrainedModel):
    """A model whose loss is, by a share, what its softmax lacks of its teachers'.

    Its parameters are those of `model`, and all but the loss.
    """

    model: CausalModel
    temperature: float
    weight: float

    @property
    def sharding_rules(self) -> ShardingRules:  # type: ignore[override]
        """Those of the model."""
        return self.model.sharding_rules

    def build(self, schema: Schema, rngs: nnx.Rngs) -> nnx.Module:
        """The model's module."""
        return self.model.build(schema, rngs)

    def reads_times(self) -> bool:
        """As the model does."""
        return self.model.reads_times()

    def packs(self) -> bool:
        """If the model does."""
        return self.model.packs()

    def lengths(self, schema: Schema) -> dict[str, int]:
        """The model's columns, and beside each item what was said after it."""
        columns = self.model.lengths(schema)
        return columns | dict.fromkeys([IDS, LOG_PROBABILITIES], columns["item"])

    def embeddings(self, schema: Schema) -> Mapping[str, str]:
        """The model's."""
        return self.model.embeddings(schema)

    def sparse(self, schema: Schema) -> Mapping[str, Embedding]:
        """The model's: none, as soft targets are said of the whole table."""
        found = self.model.sparse(schema)
        check(
            not found,
            "compression: a student's item table cannot be a sparse one, as teachers speak of all"
            " items: set model.embedding to None",
        )
        return found

    def in_formats(self, schema: Schema) -> Collection[str]:
        """The model's."""
        return self.model.in_formats(schema)

    def lookups(self, schema: Schema, batch: task.Batch, key: Array) -> dict[str, Lookup]:
        """The model's."""
        return self.model.lookups(schema, batch, key)

    def constants(self, dataset: Dataset) -> dict[str, Any]:
        """The model's."""
        return self.model.constants(dataset)

    def loss(
        self,
        module: Any,
        batch: task.Batch,
        rows: Mapping[str, EmbeddedRows],
        context: task.ForwardContext,
    ) -> task.Loss:
        """weight · soft + (1 − weight) · the model's own loss, both at the same positions."""
        own = {name: each for name, each in batch.items() if name not in (IDS, LOG_PROBABILITIES)}
        each = self.model.predictions(module, own, rows, context)
        hard = jnp.asarray(self.model.objective.loss(each, rows))
        soft = soft_cross_entropy(
            each.hidden,
            each.table,
            batch[IDS][:, :-1],
            batch[LOG_PROBABILITIES][:, :-1],
            each.weights,
            self.temperature,
            FIRST_VALUE,
            each.items,
            context.devices,
        )
        loss = self.weight * soft + (1 - self.weight) * hard
        weight = each.weights.sum().astype(jnp.float32)
        return loss, weight, {"soft_loss": soft, "hard_loss": hard}
