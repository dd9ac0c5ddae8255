"""Evaluates the parameters on the validation split while they train."""

from collections.abc import Callable
from typing import Any

import jax

from podway.framework import config, task
from podway.framework.evaluation.evaluators import evaluator_of
from podway.framework.input import batches
from podway.framework.runs.goodput import Clock


def validation_context(
    experiment: config.Experiment, devices: jax.sharding.Mesh
) -> task.ForwardContext:
    """How evaluation.batch_size examples are computed, on the devices that train."""
    divides = experiment.evaluation.batch_size % devices.size == 0
    return task.ForwardContext(devices=devices if divides else None)


def validator(
    experiment: config.Experiment,
    dataset: batches.Dataset,
    devices: jax.sharding.Mesh,
    clock: Clock,
) -> Callable[[task.Parameters], dict[str, float]]:
    """A function parameters → {metric: value} on the validation split; all processes take part."""
    context, evaluator = (
        validation_context(experiment, devices),
        evaluator_of(experiment.model, experiment.evaluation),
    )
    infer = evaluator.inference(dataset.schema)
    compute = jax.jit(lambda parameters, batch: infer(parameters, batch, context))
    evaluate = evaluator.for_split(dataset, "validation", devices=devices, intervals=False)

    def validate(parameters: task.Parameters) -> dict[str, float]:
        def counted(batch: Any) -> Any:
            clock.moves += 1
            return compute(parameters, batch)

        with clock.on("evaluate"):
            table = evaluate(counted).metrics
        return {name: cell["value"] for name, cell in table.items()}

    return validate
