"""Experiments after steps of compression, and what they were before."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from podway.framework.config.compression import Before, Compression
from podway.framework.config.experiment import Experiment
from podway.framework.error import check


def compressed(experiment: Experiment, *steps: Compression) -> Experiment:
    """The experiment after these steps, one after the other.

    Raises ConfigError where one does not apply, or comes after what can only be stored.
    """
    for step in steps:
        experiment = _after(experiment, step)
    return experiment


def _after(experiment: Experiment, step: Compression) -> Experiment:
    for last in experiment.compression[-1:]:
        check(
            step.stores or not last.stores,
            f"compression: {type(step).__name__} comes after {type(last).__name__}, which leaves"
            " parameters in their final format: put it before that step",
        )
    before = Before(experiment.model, experiment.optimizer, experiment.trainer)
    after = step.after(before)
    taken = dataclasses.replace(step, before=before if after != before else None)
    return dataclasses.replace(
        experiment,
        model=after.model,
        optimizer=after.optimizer,
        trainer=after.trainer,
        compression=(*experiment.compression, taken),
    )


def forward(
    steps: Sequence[Compression], parameters: Mapping[str, Any], progress: Any
) -> dict[str, Any]:
    """The parameters that the model computes with in the run of the last of these steps.

    Zeros that steps before it have left stay zeros, if it goes on with their parameters.

    Args:
      steps: an experiment's.
      parameters: as Compression.forward takes them.
      progress: of the run, from 0 to 1.
    """
    if not steps or not steps[-1].trains:
        return dict(parameters)
    found = dict(parameters)
    for step in _kept(steps):
        found = step.forward(found, 1.0)
    return steps[-1].forward(found, progress)


def finished(steps: Sequence[Compression], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What the run of the last of these steps is evaluated by, and hands on."""
    found = forward(steps, parameters, 1.0)
    return steps[-1].handed_on(found) if steps and steps[-1].trains else found


def _kept(steps: Sequence[Compression]) -> list[Compression]:
    """The steps before the last one whose zeros its run keeps, in order."""
    found: list[Compression] = []
    for last, step in zip(reversed(steps), reversed(steps[:-1]), strict=False):
        if last.trains and not last.warm:
            break
        found += [step] if step.masks else []
    return found[::-1]


def previous(experiment: Experiment) -> Experiment:
    """The experiment that the last step of compression began with."""
    *steps, last = experiment.compression
    earlier = dataclasses.replace(experiment, compression=tuple(steps))
    if last.before is None:
        return earlier
    had = last.before
    return dataclasses.replace(
        earlier, model=had.model, optimizer=had.optimizer, trainer=had.trainer
    )
