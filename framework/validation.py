"""Judging the parameters on the validation split while they train."""

import dataclasses
from collections.abc import Callable
from typing import cast

import jax

from framework import config, evaluate, input, task
from framework.goodput import Clock
from framework.interactions import train_counts


def judging(experiment: config.Experiment, devices: jax.sharding.Mesh) -> task.Pass:
    """How the scores of evaluation.batch_size users are computed, on the devices that train."""
    divides = experiment.evaluation.batch_size % devices.size == 0
    return task.Pass(devices=devices if divides else None)


def validator(
    experiment: config.Experiment,
    dataset: input.Dataset,
    devices: jax.sharding.Mesh,
    clock: Clock,
) -> Callable[[task.Parameters], dict[str, float]]:
    """A function parameters → {metric: value} on the validation split; all processes take part."""
    how, model = judging(experiment, devices), cast(task.Recommender, experiment.model)
    graph = task.structure(model, dataset.schema)
    scores = jax.jit(
        lambda parameters, history: model.scores(task.merge(graph, parameters), history, how)
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
                likelihood=not isinstance(model, task.Fitted),  # whose scores are no logits
            )
        return {name: cell["value"] for name, cell in table.items()}

    return validate
