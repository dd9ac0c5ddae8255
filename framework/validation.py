"""Judging the parameters on the validation split while they train."""

import dataclasses
from collections.abc import Callable

import jax

from framework import config, evaluate, input, step, task
from framework.baselines import train_counts
from framework.goodput import Clock


def judging(experiment: config.Experiment, devices: jax.sharding.Mesh) -> task.Pass:
    """How the scores of evaluation.batch_size users are computed, on the devices that train."""
    divides = experiment.evaluation.batch_size % devices.size == 0
    return task.Pass(devices=devices if divides else None)


def validator(
    experiment: config.Experiment,
    dataset: input.Dataset,
    program: step.Program,
    devices: jax.sharding.Mesh,
    clock: Clock,
) -> Callable[[task.Parameters], dict[str, float]]:
    """A function parameters → {metric: value} on the validation split; all processes take part."""
    how = judging(experiment, devices)
    scores = jax.jit(
        lambda parameters, history: program.task.scores(
            task.merge(program.graph, parameters), history, how
        )
    )
    counts = train_counts(dataset)

    def validate(parameters: task.Parameters) -> dict[str, float]:
        def scorer(history: jax.Array) -> jax.Array:
            clock.moves += 1
            return scores(parameters, history)

        with clock.on("evaluate"):
            ranks = evaluate.rank_split(
                scorer, dataset, "validation", experiment.evaluation, devices=devices
            )
            table = evaluate.summarize(
                ranks,
                dataclasses.replace(experiment.evaluation, bootstrap=1),
                counts,
                likelihood=True,
            )
        return {name: cell["value"] for name, cell in table.items()}

    return validate
