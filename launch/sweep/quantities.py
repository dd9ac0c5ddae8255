"""What a trial costs, known before a step of it is trained: nothing here is trained or fitted.

Sizes are those of the shapes. Memory and compute are the compiled training step's; as the trainer
compiles the same step, it finds it compiled. Latency is that of the function that is exported, with
its first parameters: how long it takes does not depend on them.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np

from podway.export.lowering import labels, recommender
from podway.framework import task
from podway.framework.config import Experiment
from podway.framework.config.sweep import Limit, Quantity
from podway.framework.devices import mesh
from podway.framework.error import check
from podway.framework.evaluation.evaluators import evaluator_of
from podway.framework.evaluation.labels import LabelEvaluator
from podway.framework.input.batches import Dataset, batch_shapes
from podway.framework.schema.schema import FIRST_VALUE
from podway.framework.training.program import build_program

UNITS: Mapping[str, str] = {
    "latency": "ms",
    "size": "MB",
    "memory": "MB",
    "parameters": "",
    "compute": "FLOP",
}
"""Of each quantity but quality."""
_MEGABYTE = 1e6
_WARM, _ROUNDS, _CALLS = 5, 5, 20
COMPILED = ("memory", "compute")
"""What takes a compilation."""


def check_measurable(experiment: Experiment, wanted: Iterable[Quantity]) -> None:
    """Raises ConfigError for a quantity that this kind of model does not have."""
    fitted, kind = isinstance(experiment.model, task.FittedModel), type(experiment.model).__name__
    for name in wanted:
        check(
            not fitted or name in ("quality", "latency"),
            f"limits and objectives: {name} of {kind} is not known before it is fitted; leave it"
            " out",
        )
        check(
            not experiment.compression or name == "quality",
            f"limits and objectives: {name} of a compressed model is not known before it is"
            " compressed; leave it out",
        )
        check(
            name != "latency"
            or (isinstance(experiment.model, task.Recommender | task.LabelModel) and not fitted),
            f"limits and objectives: the latency of {kind} cannot be timed before training; leave"
            " it out",
        )


def measure(
    experiment: Experiment, dataset: Dataset, wanted: Iterable[Quantity]
) -> dict[str, float]:
    """The quantities that are wanted, and those that cost nothing to know.

    Raises ConfigError where the model does not fit the dataset or the devices.
    """
    if isinstance(experiment.model, task.FittedModel) or experiment.compression:
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
    if "latency" in wanted:
        found["latency"] = latency(experiment, dataset)
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


def latency(experiment: Experiment, dataset: Dataset) -> float:
    """Milliseconds of one request of one row on a CPU, with a history as long as is read.

    The lowest of some medians: what else the machine does only adds to it.
    """
    device = jax.devices("cpu")[0]
    with jax.default_device(device):
        call = _request(experiment, dataset)
        for _ in range(_WARM):
            call()
        medians = []
        for _ in range(_ROUNDS):
            seconds = []
            for _ in range(_CALLS):
                began = time.perf_counter()
                call()
                seconds.append(time.perf_counter() - began)
            medians.append(float(np.median(seconds)))
    return 1e3 * min(medians)


def _request(experiment: Experiment, dataset: Dataset) -> Callable[[], Any]:
    """One request to the exported function, which waits for its answer."""
    schema = dataset.schema
    model = task.of_kind(experiment.model, task.ParametricModel)
    parameters = jax.jit(lambda: task.initialize(model, schema, jax.random.key(0)))()
    if isinstance(model, task.LabelModel):
        shapes = batch_shapes(
            schema, LabelEvaluator(model, experiment.evaluation).lengths(schema), 1
        )
        function = labels.function(model, schema, tuple(shapes))
        columns = [np.ones(shape, dtype) for shape, dtype in shapes.values()]
    else:
        lengths = task.of_kind(model, task.TrainedModel).lengths(schema)
        length = lengths["item"] if "item" in lengths else max(lengths.values())
        count = schema["item"].size - FIRST_VALUE
        k = min(experiment.export.top_k, count)
        function = recommender.recommend(
            model, schema, k, exclude_seen=experiment.evaluation.exclude_seen
        )
        history = FIRST_VALUE + np.arange(length, dtype=np.int32)[None] % count
        recommends = task.of_kind(model, task.Recommender)
        times = [np.zeros((1, length), np.int32)] if recommends.reads_times() else []
        columns = [history, *times]
    compiled = jax.jit(function).lower(parameters, *columns).compile()
    on_device = [jax.device_put(column) for column in columns]
    return lambda: jax.block_until_ready(compiled(parameters, *on_device))


def metric_of(experiment: Experiment) -> tuple[str, bool]:
    """The validation metric that selects the checkpoint, and whether its largest is best."""
    evaluator = evaluator_of(experiment.model, experiment.evaluation)
    return evaluator.metric, evaluator.largest_is_best
