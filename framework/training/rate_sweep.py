"""A learning rate for an experiment: some steps at rates that rise, and where the loss fell.

(Smith, 2017, arXiv:1506.01186.) The steps are those of a training run, the first ones; nothing is
saved.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from podway.framework import config, progress, task
from podway.framework.devices import mesh, platforms
from podway.framework.error import ConfigError, PodwayError, check
from podway.framework.input.batches import Dataset, read_ahead
from podway.framework.training import loop
from podway.framework.training.program import build_program
from podway.framework.training.schedule import Scheduled

DIVERGED = 1.5
"""A loss (smoothed) of so many times the first one ends the sweep."""
_WIDTH = 1 / 40
"""Of the window that smooths the losses, as a share of the steps: its standard deviation."""
_SAFE = 3.0
"""By how much the suggestion lies below the rate of the lowest loss, at least."""


class SweepError(PodwayError, RuntimeError):
    """No rate can be suggested; the message says why, and what to try."""


@dataclasses.dataclass(frozen=True)
class Rising(config.Optimizer):
    """An optimizer whose learning rate rises from step to step, by the same factor each time.

    Optimizers of sparse tables rise as much, from and to other rates in proportion.
    """

    of: Scheduled = Scheduled()
    """The optimizer that follows the gradients."""
    lowest: float = 1e-7
    """Learning rate of the first step."""
    highest: float = 10.0
    """Learning rate of the last step."""

    def rate(self, step: Any, steps: int) -> Any:
        """The learning rate of a step, from 0."""
        return self.lowest * (self.highest / self.lowest) ** (step / max(steps - 1, 1))

    def decay(self, step: Any, steps: int) -> Any:
        """It, as a fraction of the optimizer's own peak."""
        return self.rate(step, steps) / self.of.learning_rate

    def build(self, steps: int) -> Any:
        """The optax transformation for a sweep of `steps`."""
        return self.of.following(lambda step: self.rate(step, steps))


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What a sweep has seen.

    Attributes:
      rates: the learning rate of each step that was taken.
      losses: the loss before it.
      steps: that were to be taken.
    """

    rates: np.ndarray
    losses: np.ndarray
    steps: int

    @property
    def smoothed(self) -> np.ndarray:
        """The losses, each averaged with those about it."""
        at = np.arange(len(self.losses))
        width = max(self.steps * _WIDTH, 0.5)
        weights = np.exp(-0.5 * ((at[:, None] - at) / width) ** 2)
        return (weights * self.losses).sum(1) / weights.sum(1)

    @property
    def diverged(self) -> bool:
        """Whether it ended before its last step."""
        return len(self.rates) < self.steps


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """A learning rate, and what speaks for it.

    Attributes:
      rate: that is suggested.
      steepest: at which the loss fell fastest.
      lowest: after which it was lowest.
      loss: the lowest one, smoothed.
      first: the first one, smoothed.
      note: what to beware of; "": nothing.
    """

    rate: float
    steepest: float
    lowest: float
    loss: float
    first: float
    note: str = ""


def sweep(
    experiment: config.Experiment,
    dataset: Dataset,
    others: Sequence[Dataset] = (),
    *,
    lowest: float = 1e-7,
    highest: float = 10.0,
    steps: int = 200,
) -> Sweep:
    """Trains at rates that rise from `lowest` to `highest`, until the loss diverges.

    Raises ConfigError where the experiment has no learning rate to find; SweepError where the loss
    is no number from the start.
    """
    optimizer = experiment.optimizer
    if not isinstance(optimizer, Scheduled):
        raise ConfigError(
            f"{type(optimizer).__name__} has no learning rate to find: derive it from Scheduled"
            " (framework/training/schedule.py)"
        )
    check(
        0 < lowest < highest,
        f"--lowest is {lowest:g} and --highest {highest:g}; give rates above 0 that rise",
    )
    check(steps >= 20, f"--steps is {steps}; give 20 or more")
    rising = Rising(optimizer, lowest, highest)
    model = task.of_kind(experiment.model, task.TrainedModel).prepared(dataset)
    trainer = dataclasses.replace(experiment.trainer, steps=steps, parent="", ema=None)
    experiment = dataclasses.replace(experiment, model=model, optimizer=rising, trainer=trainer)
    platforms.check()
    devices = mesh.build(experiment.mesh)
    counts, constants = loop.table_counts(experiment, dataset), model.constants(dataset)
    program = build_program(experiment, dataset.schema, devices, counts, constants)
    batches = loop.train_batches(experiment, dataset, others, program)
    reader = read_ahead(batches, 0, place=program.place)
    state, losses = program.initialize(), []
    with progress.shown("rates", unit="step", total=steps) as bar:
        try:
            for batch in reader:
                state, metrics = program.step(state, batch)
                loss = float(jax.device_get(metrics["loss"]))
                if not math.isfinite(loss):
                    break
                losses.append(loss)
                bar.update(1)
                if np.mean(losses[-5:]) > DIVERGED * np.mean(losses[:5]):
                    break
        finally:
            reader.close()
    if len(losses) < 10:
        raise SweepError(
            f"the loss is {loss} after {len(losses)} steps at rates up to"
            f" {rising.rate(len(losses), steps):.2g}: begin lower (--lowest), or look at the data"
            " and the model"
        )
    rates = np.array([rising.rate(step, steps) for step in range(len(losses))])
    return Sweep(rates, np.array(losses), steps)


def suggest(seen: Sweep) -> Suggestion:
    """The rate at which the loss fell fastest, and a third of that of the lowest loss at most.

    Raises SweepError where it did not fall.
    """
    smoothed = seen.smoothed
    lowest = int(smoothed.argmin())
    first, fall = smoothed[0], smoothed[0] - smoothed[lowest]
    noise = float(np.median(np.abs(seen.losses - smoothed)[: lowest + 1]))
    if lowest == 0 or fall <= max(noise, 1e-6 * abs(first)):
        raise SweepError(
            f"the loss did not fall at any rate from {seen.rates[0]:.2g} to {seen.rates[-1]:.2g}:"
            f" it began at {first:.4g} and was {smoothed[lowest]:.4g} at best; give other bounds"
            " (--lowest, --highest), more --steps or a larger trainer.batch_size"
        )
    slopes = np.gradient(smoothed, np.log(seen.rates))
    steepest = int(slopes[: lowest + 1].argmin())
    note = ""
    if not seen.diverged and lowest >= len(smoothed) - 2:
        note = "the loss still fell at the highest rate; try a higher --highest"
    rate = min(seen.rates[steepest], seen.rates[lowest] / _SAFE)
    return Suggestion(
        float(rate),
        float(seen.rates[steepest]),
        float(seen.rates[lowest]),
        float(smoothed[lowest]),
        float(first),
        note,
    )
