"""Distillation: a small model learns what larger ones say of each history (Hinton et al. 2015,
arXiv:1503.02531), beside what really came next."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

from etils import epath

from podway.framework import config, task
from podway.framework.compression import tune
from podway.framework.compression.distillation import taught, teachers
from podway.framework.compression.distillation.next_item import (
    DISTILLATION,
    NextItem,
    NextItemStudent,
)
from podway.framework.compression.distillation.rows import RowStudent
from podway.framework.error import check
from podway.framework.input.dataset import Dataset


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
    top: int | None = 64
    """Most probable items that teachers say at each position, beside what all others have together.
    None: the whole catalogue; for teachers whose scores are the product of a state and the items'
    vectors."""
    hidden_weight: float = 0.0
    """Of the loss that compares the student's states, by a projection that is learnt too, with
    those of the same teachers; it is added to the others. 0: they are not compared."""
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
        check(
            self.top is None or self.top >= 1,
            f"compression.top is {self.top}; give 1 or more, or None for the whole catalogue",
        )
        check(
            0 <= self.hidden_weight < math.inf,
            f"compression.hidden_weight is {self.hidden_weight}; give 0 or more",
        )

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
        check(
            not self.hidden_weight or (isinstance(model, NextItem) and hasattr(model, "width")),
            f"compression.hidden_weight is {self.hidden_weight}, and {type(model).__name__} has no"
            " states of one width at each position (SasRec, Hstu, Decoder): give 0",
        )
        return tune.tuned(dataclasses.replace(before, model=model), steps, self.learning_rate)

    @property
    def reads_states(self) -> bool:
        """Whether teachers are asked for their states."""
        return self.top is None or self.hidden_weight > 0

    def read(self, model: config.Model, dataset: Dataset, before: epath.Path) -> Dataset:
        """See config.Compression: with the teachers' lessons, computed where they are missing."""
        found = teachers.found(self.teachers, before, dataset)
        workdir = before.parent.parent.parent
        if isinstance(model, task.LabelModel):
            return taught.with_logits(found, model, dataset, workdir)
        if self.top is not None:
            dataset = taught.with_targets(found, dataset, workdir, self.top, self.temperature)
        if self.reads_states:
            field = "compression.hidden_weight" if self.top else "compression.top = None"
            dataset = taught.with_states(found, dataset, workdir, field)
        return dataset

    def trained(self, model: config.Model, dataset: Dataset, before: epath.Path) -> config.Model:
        """See config.Compression."""
        learner = task.of_kind(model, task.TrainedModel)
        if isinstance(model, task.LabelModel):
            return RowStudent(learner, self.temperature, self.weight)
        return NextItemStudent(
            learner,
            self.temperature,
            self.weight,
            whole=self.top is None,
            hidden_weight=self.hidden_weight,
            teachers=max(1, len(self.teachers)) if self.reads_states else 0,
        )

    def handed_on(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """See config.Compression: the model's own."""
        theirs = f"{DISTILLATION}/"
        return {path: each for path, each in parameters.items() if not path.startswith(theirs)}
