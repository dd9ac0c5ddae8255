"""Judging the parameters on the validation split while they train."""

from collections.abc import Callable
from typing import Any

import jax

from podway.framework import config, task
from podway.framework.evaluation.judges import judge_of
from podway.framework.input import batches as input
from podway.framework.runs.goodput import Clock


def judging(experiment: config.Experiment, devices: jax.sharding.Mesh) -> task.ForwardContext:
    """How evaluation.batch_size examples are computed, on the devices that train."""
    divides = experiment.evaluation.batch_size % devices.size == 0
    return task.ForwardContext(devices=devices if divides else None)


def validator(
    experiment: config.Experiment,
    dataset: input.Dataset,
    devices: jax.sharding.Mesh,
    clock: Clock,
) -> Callable[[task.Parameters], dict[str, float]]:
    """A function parameters → {metric: value} on the validation split; all processes take part."""
    context, judge = judging(experiment, devices), judge_of(experiment.model, experiment.evaluation)
    infer = judge.inference(dataset.schema)
    compute = jax.jit(lambda parameters, batch: infer(parameters, batch, context))
    examine = judge.examiner(dataset, "validation", devices=devices, intervals=False)

    def validate(parameters: task.Parameters) -> dict[str, float]:
        def counted(batch: Any) -> Any:
            clock.moves += 1
            return compute(parameters, batch)

        with clock.on("evaluate"):
            table = examine(counted).metrics
        return {name: cell["value"] for name, cell in table.items()}

    return validate
