"""What a trial costs, known before a step of it is trained: nothing here is trained or fitted.

Sizes are those of the shapes. Memory and compute are the compiled training step's; as the trainer
compiles the same step, it finds it compiled. Latency is that of the function that is exported, with
its first parameters: how long it takes does not depend on them.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import jax

from podway.framework import task
from podway.framework.config import Experiment
from podway.framework.config.sweep import Limit, Quantity
from podway.framework.devices import mesh
from podway.framework.error import check
from podway.framework.evaluation.evaluators import evaluator_of
from podway.framework.input.batches import Dataset
from podway.framework.training.program import build_program
from podway.launch.cost import rate
from podway.launch.cost.rate import Rate
from podway.launch.sweep import answer, compression

UNITS: Mapping[str, str] = {
    "latency": "ms",
    "size": "MB",
    "memory": "MB",
    "parameters": "",
    "compute": "FLOP",
    "core": "ms",
    "cost": "{currency} a million",
    "training_cost": "{currency}",
}
"""Of each quantity but quality. `core` is the time that an answer takes of one, or of several
together; `training_cost` is known afterwards."""
TIMED = ("latency", "cost")
"""What an answer is timed for."""
_MEGABYTE = 1e6
COMPILED = ("memory", "compute")
"""What takes a compilation."""


def check_measurable(experiment: Experiment, wanted: Iterable[Quantity]) -> None:
    """Raises ConfigError for a quantity that this kind of model does not have."""
    step = compression.unknown(experiment)
    fitted, kind = isinstance(experiment.model, task.FittedModel), type(experiment.model).__name__
    for name in wanted:
        check(
            not fitted or name in ("quality", *TIMED),
            f"limits and objectives: {name} of {kind} is not known before it is fitted; leave it"
            " out",
        )
        check(
            not experiment.compression or name in compression.KNOWN,
            f"limits and objectives: {name} of a compressed model is that of several trainings;"
            " leave it out",
        )
        check(
            name == "quality" or not step,
            f"limits and objectives: {name} is not known before {step} has compressed the model;"
            " leave it out",
        )
        check(
            name not in TIMED
            or (isinstance(experiment.model, task.Recommender | task.LabelModel) and not fitted),
            f"limits and objectives: the {name} of {kind} cannot be timed before training; leave it"
            " out",
        )


def measure(
    experiment: Experiment,
    dataset: Dataset,
    wanted: Iterable[Quantity],
    core: Rate | None = None,
) -> dict[str, float]:
    """The quantities that are wanted, and those that cost nothing to know.

    Args:
      experiment: whose.
      dataset: that it is trained on.
      wanted: what must be known.
      core: what an hour of a core costs; None: nobody asks for the cost.

    Raises ConfigError where the model does not fit the dataset or the devices.
    """
    if isinstance(experiment.model, task.FittedModel) or compression.unknown(experiment):
        return {}
    model = task.of_kind(experiment.model, task.TrainedModel).prepared(dataset)
    prepared, wanted = dataclasses.replace(experiment, model=model), set(wanted)
    shapes = jax.eval_shape(lambda: task.initialize(model, dataset.schema, jax.random.key(0)))
    trainer = experiment.trainer
    found = {
        "parameters": float(sum(math.prod(each.shape) for each in shapes.values())),
        "size": sum(math.prod(s.shape) * s.dtype.itemsize for s in shapes.values()) / _MEGABYTE,
        "examples": float(trainer.steps * trainer.batch_size),
    }
    if wanted & set(COMPILED):
        program = build_program(prepared, dataset.schema, mesh.build(experiment.mesh))
        found["compute"] = program.flops * trainer.steps
        found["memory"] = _memory(program.step) / _MEGABYTE
    if experiment.compression:
        arrays = answer.first_parameters(experiment, dataset).values()
        found["size"] = sum(each.nbytes for each in arrays) / _MEGABYTE
    if wanted & set(TIMED):
        times = timed(experiment, dataset)
        found |= {"latency": times.latency, "core": times.core}
        if core is not None and core.amount is not None:
            found["cost"] = rate.of_answers(times.core, core)
    return found


def broken(found: Mapping[str, float], limits: Iterable[Limit]) -> dict[str, float]:
    """Quantity → how many times its limit it is, of those above it. What is no number is above."""
    shares = {each.quantity: found.get(each.quantity, math.nan) / each.most for each in limits}
    return {name: share for name, share in shares.items() if not share <= 1}


def _memory(step: Any) -> float:
    """Bytes of a device while the compiled step runs; what it gives back in place counts once."""
    stats = step.memory_analysis()
    outputs = max(0, stats.output_size_in_bytes - stats.alias_size_in_bytes)
    return stats.argument_size_in_bytes + outputs + stats.temp_size_in_bytes


def timed(experiment: Experiment, dataset: Dataset) -> answer.Times:
    """Of one request of one row on a CPU, with a history as long as is read."""
    parameters = answer.first_parameters(experiment, dataset)
    return answer.request(experiment, dataset, parameters).times()


def unit(name: str, currency: str) -> str:
    """Of a quantity; "" where it has none."""
    return UNITS.get(name, "").format(currency=currency)


def metric_of(experiment: Experiment) -> tuple[str, bool]:
    """The validation metric that selects the checkpoint, and whether its largest is best."""
    evaluator = evaluator_of(experiment.model, experiment.evaluation)
    return evaluator.metric, evaluator.largest_is_best
