"""Distillation: a small model learns what larger ones say of each history (Hinton et al. 2015,
arXiv:1503.02531), beside what really came next."""

import dataclasses
import hashlib
import json
import math
import pathlib
from typing import Any, ClassVar

from etils import epath

from podway.framework import config, task
from podway.framework.code import sources
from podway.framework.compression import lessons, row_teachers, teachers, tune
from podway.framework.compression.lessons import LESSON
from podway.framework.compression.student import (
    IDS,
    LOG_PROBABILITIES,
    LOGITS,
    NextItem,
    NextItemStudent,
    RowStudent,
)
from podway.framework.error import check
from podway.framework.input.dataset import Dataset
from podway.framework.schema.schema import FIRST_VALUE, Feature


@dataclasses.dataclass(frozen=True)
class Distil(config.Compression):
    """A student that is trained on its teachers' probabilities of each next item."""

    trains: ClassVar[bool] = True

    model: config.Model | None = None
    """The student, which starts at random; None: one like the model before, as `width` and `layers`
    say."""
    width: int | None = None
    """Of the student; None: as before."""
    layers: int | None = None
    """Of the student; None: as before. Without model, width and layers the model before goes on
    with its parameters, say after a part of it was left out."""
    teachers: tuple[str, ...] = ()
    """Who teaches, by the mean of their probabilities: finished runs, as NAME/RUN in the same
    workdir or as a folder, published models, as NAME/VERSION or a folder, or "first", the run that
    all steps began with; (): the run before."""
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
        return self.model is None and self.width is None and self.layers is None

    def student(self, before: config.Model) -> config.Model:
        """Who is trained. Raises ConfigError where the fields don't fit the model before."""
        if self.model is not None:
            check(
                self.width is None and self.layers is None,
                "compression.model says the student's width and layers: leave these out",
            )
            return self.model
        if self.warm:
            return before
        names = {field.name for field in dataclasses.fields(before)}
        changes: dict[str, Any] = {}
        for name, value in (("width", self.width), ("layers", self.layers)):
            field = "blocks" if name == "layers" and "blocks" in names else name
            check(
                value is None or field in names,
                f"compression.{name}: {type(before).__name__} has no {field}; give"
                " compression.model",
            )
            changes |= {} if value is None else {field: value}
        if "width" in changes and "block_kind" in names:
            # Of a transformer heads divide the width, and what was set for the larger one goes.
            heads = math.gcd(changes["width"], getattr(before, "heads", 1))
            changes |= {"heads": heads, "head_width": None, "feed_forward_units": None}
        return dataclasses.replace(before, **changes)

    def after(self, before: config.Before) -> config.Before:
        """See config.Compression."""
        steps = before.trainer.steps if self.steps is None else self.steps
        model = self.student(before.model)
        check(
            isinstance(model, NextItem | task.LabelModel),
            f"compression.model is {type(model).__name__}; students are models that say the next"
            " item at each position (SasRec, Hstu, Decoder), or labels of rows",
        )
        return tune.tuned(dataclasses.replace(before, model=model), steps, self.learning_rate)

    def read(self, model: config.Model, dataset: Dataset, before: epath.Path) -> Dataset:
        """See config.Compression: with the teachers' lessons, computed where they are missing."""
        found = teachers.found(self.teachers, before, dataset)
        about: dict[str, Any] = {
            "dataset": dataset.manifest.version,
            "teachers": [each.version for each in found],
            "code": _code(found),
        }
        if isinstance(model, task.LabelModel):
            labels = [[head.label, head.outputs] for head in model.objectives]
            about |= {"labels": labels}
            features = (Feature(LOGITS, LESSON, "float32", shape=(model.outputs,)),)
            names, say = {"logits": LOGITS}, row_teachers.logits(found, model, dataset)
        else:
            top = min(self.top, dataset.schema["item"].size - FIRST_VALUE)
            about |= {"temperature": self.temperature, "top": top}
            features = (
                Feature(IDS, LESSON, "int32", True, shape=(top,)),
                Feature(LOG_PROBABILITIES, LESSON, "float32", True, shape=(top,)),
            )
            names = {"ids": IDS, "log_probabilities": LOG_PROBABILITIES}
            say = teachers.soft_targets(found, dataset, top=top, temperature=self.temperature)
        name = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
        folder = before.parent.parent.parent / lessons.FOLDER / name

        def compute(block: int) -> dict[str, Any]:
            return {names.get(column, column): each for column, each in say(block).items()}

        return lessons.teach(dataset, folder, features, about, compute)

    def trained(self, model: config.Model, dataset: Dataset, before: epath.Path) -> config.Model:
        """See config.Compression."""
        kind = RowStudent if isinstance(model, task.LabelModel) else NextItemStudent
        return kind(task.of_kind(model, task.TrainedModel), self.temperature, self.weight)


def _code(found: list[teachers.Teacher]) -> str:
    """Hash of what computes the lessons."""
    digest = hashlib.sha256()
    for module in (teachers, row_teachers, lessons):
        digest.update(pathlib.Path(str(module.__file__)).read_bytes())
    for each in found:
        digest.update(sources.code("run", each.experiment).encode())
    return digest.hexdigest()[:16]
