"""Further training of what a step of compression has left."""

import dataclasses
from typing import Any, ClassVar

from podway.framework import config, task
from podway.framework.error import check


@dataclasses.dataclass(frozen=True)
class Tune(config.Compression):
    """Training that goes on from the run before, with a fresh optimizer and schedule.

    Zeros that an earlier step has left, Magnitude's say, stay zeros.
    """

    trains: ClassVar[bool] = True

    steps: int = 1000
    """Optimizer steps."""
    learning_rate: float = 0.1
    """Peak learning rate, in shares of the one that the model was trained with."""

    def __post_init__(self):
        check_training(self)

    def after(self, before: config.Before) -> config.Before:
        """See config.Compression."""
        return tuned(before, self.steps, self.learning_rate)


def tuned(before: config.Before, steps: int, learning_rate: float) -> config.Before:
    """The same, trained for so many steps, at a share of the learning rate.

    Of a shorter run evaluations come as often as its steps allow. Raises ConfigError where the
    model is not trained in steps, or the optimizer has no learning rate.
    """
    optimizer, trainer = before.optimizer, before.trainer
    check(
        isinstance(before.model, task.TrainedModel),
        f"compression: {type(before.model).__name__} is not trained in steps, so that it cannot be"
        " trained further",
    )
    check(
        type(optimizer) is not config.Optimizer,
        "compression: the experiment has no optimizer to train with; set `optimizer`",
    )
    rate = getattr(optimizer, "learning_rate", None)
    check(
        isinstance(rate, float) or learning_rate == 1,
        f"compression.learning_rate is a share of optimizer.learning_rate, and"
        f" {type(optimizer).__name__} has none: give 1.0",
    )
    if rate is not None and learning_rate != 1:
        optimizer = dataclasses.replace(optimizer, learning_rate=rate * learning_rate)  # type: ignore[call-arg]
    trainer = dataclasses.replace(
        trainer,
        steps=steps,
        evaluate_every=min(trainer.evaluate_every, steps),
        parent="",
        warm_start=config.WarmStart(),
    )
    return dataclasses.replace(before, optimizer=optimizer, trainer=trainer)


def check_training(step: Any) -> None:
    """Raises ConfigError for what no training can have."""
    steps, rate = getattr(step, "steps", 1), getattr(step, "learning_rate", 1.0)
    check(steps is None or steps >= 1, f"compression.steps is {steps}; give 1 or more")
    check(rate > 0, f"compression.learning_rate is {rate}; give more than 0")
