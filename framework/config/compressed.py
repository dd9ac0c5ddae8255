"""Experiments after steps of compression, and what they were before."""

import dataclasses

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
