"""Judging the parameters on the validation split while they train."""

import dataclasses
from collections.abc import Callable

import jax

from framework import config, evaluate, input, step, task
from framework.baselines import train_counts
from framework.goodput import Clock


def validator(
    experiment: config.Experiment,
    dataset: input.Dataset,
    program: step.Program,
    devices: jax.sharding.Mesh,
    clock: Clock,
) -> Callable[[task.Parameters], dict[str, float]]:
    """A function parameters → {metric: value} on the validation split; all processes take part."""
    scores = jax.jit(
        lambda parameters, history: program.task.scores(
            task.merge(program.graph, parameters), history
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
