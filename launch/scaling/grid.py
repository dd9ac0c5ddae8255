"""The runs of a scaling study: the experiment with less of one thing at a time, on a log grid."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Literal

import numpy as np

from podway.framework.config import Experiment, Model
from podway.framework.error import ConfigError, check

Axis = Literal["parameters", "data", "compute"]
AXES: tuple[Axis, ...] = ("parameters", "data", "compute")
"""
    parameters  the model's width; numbers that it has
    data        the share of the train split that is read (trainer.share); its rows
    compute     steps; floating-point operations of the whole training
"""


@dataclasses.dataclass(frozen=True)
class Place:
    """A run of the study.

    Attributes:
      axis: along which it lies.
      share: of the experiment's own, 0 to 1.
      seed: of its training.
      experiment: that makes it.
    """

    axis: Axis
    share: float
    seed: int
    experiment: Experiment


def of(
    experiment: Experiment, axes: tuple[Axis, ...], points: int, smallest: float, seeds: int
) -> list[Place]:
    """All runs; the experiment itself is on each axis. Raises ConfigError."""
    check(points >= 2, f"--points is {points}; give 2 or more")
    check(0 < smallest < 1, f"--smallest is {smallest}; give a share above 0 and below 1")
    check(seeds >= 1, f"--seeds is {seeds}; give 1 or more")
    return [
        Place(axis, share, seed, _seeded(made, seed))
        for axis in axes
        for share, made in _along(experiment, axis, np.geomspace(smallest, 1, points))
        for seed in range(seeds)
    ]


def _along(
    experiment: Experiment, axis: Axis, shares: np.ndarray
) -> Iterator[tuple[float, Experiment]]:
    """Different experiments along an axis, with the share that they really have."""
    seen: set[float] = set()
    for share in shares:
        made, real = _smaller(experiment, axis, float(share))
        if real not in seen:
            seen.add(real)
            yield real, made


def _smaller(experiment: Experiment, axis: Axis, share: float) -> tuple[Experiment, float]:
    trainer = experiment.trainer
    if axis == "parameters":
        return _narrower(experiment, share)
    if axis == "data":
        share = round(share, 4)
        changed = dataclasses.replace(trainer, share=trainer.share * share)
        return dataclasses.replace(experiment, trainer=changed), share
    steps = max(1, round(trainer.steps * share))
    every = max(1, min(trainer.evaluate_every, steps))
    changed = dataclasses.replace(trainer, steps=steps, evaluate_every=every)
    return dataclasses.replace(experiment, trainer=changed), steps / trainer.steps


def _narrower(experiment: Experiment, share: float) -> tuple[Experiment, float]:
    """The model of the nearest width that it takes."""
    model: Model = experiment.model
    width = getattr(model, "width", None)
    if not isinstance(width, int):
        raise ConfigError(
            f"--axes parameters: {type(model).__name__} has no width; leave that axis out"
        )
    wanted = max(1, width * share)
    for each in sorted(range(1, width + 1), key=lambda each: abs(math.log(each / wanted))):
        try:
            made = dataclasses.replace(model, width=each)
        except ConfigError:  # heads that do not divide it, say
            continue
        return dataclasses.replace(experiment, model=made), each / width
    raise ConfigError(f"--axes parameters: {type(model).__name__} takes no width below {width}")


def _seeded(experiment: Experiment, seed: int) -> Experiment:
    trainer = dataclasses.replace(experiment.trainer, seed=experiment.trainer.seed + seed)
    return dataclasses.replace(experiment, trainer=trainer)
