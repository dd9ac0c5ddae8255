"""One answer of the function that is exported, compiled for this machine's CPU."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from podway.export.lowering import labels, recommender
from podway.framework import task
from podway.framework.config import Experiment
from podway.framework.evaluation.labels import LabelEvaluator
from podway.framework.input.batches import Dataset, batch_shapes
from podway.framework.schema.schema import FIRST_VALUE
from podway.launch.sweep import compression

_WARM, _ROUNDS, _CALLS = 5, 5, 20


@dataclasses.dataclass(frozen=True)
class Request:
    """A request of some rows, with histories as long as are read.

    Attributes:
      call: asks, and waits for the answer.
      memory: bytes of the arguments, the answer, and what is computed between, as the compiler
        says.
    """

    call: Callable[[], Any]
    memory: int

    def milliseconds(self) -> float:
        """Of an answer. The lowest of some medians: what else the machine does only adds to it."""
        return self.times().latency

    def times(self) -> "Times":
        """How long an answer takes, and how much work it is."""
        for _ in range(_WARM):
            self.call()
        medians, work = [], []
        for _ in range(_ROUNDS):
            seconds, before = [], time.process_time()
            for _ in range(_CALLS):
                began = time.perf_counter()
                self.call()
                seconds.append(time.perf_counter() - began)
            medians.append(float(np.median(seconds)))
            work.append((time.process_time() - before) / _CALLS)
        return Times(1e3 * min(medians), 1e3 * min(work))


@dataclasses.dataclass(frozen=True)
class Times:
    """Milliseconds of an answer.

    Attributes:
      latency: between question and answer.
      core: of all cores together, which work for it at once.
    """

    latency: float
    core: float


def first_parameters(experiment: Experiment, dataset: Dataset) -> task.Parameters:
    """Those that training begins with: how long an answer takes does not depend on them. What steps
    of compression store in a format is in it."""
    model = task.of_kind(experiment.model, task.ParametricModel)
    found = jax.jit(lambda: task.initialize(model, dataset.schema, jax.random.key(0)))()
    return dict(compression.stored(experiment, dataset.schema, found))


def request(
    experiment: Experiment, dataset: Dataset, parameters: Mapping[str, Any], rows: int = 1
) -> Request:
    """A request of so many rows to the exported function with these parameters, on a CPU."""
    with jax.default_device(jax.devices("cpu")[0]):
        function, columns = exported(experiment, dataset, rows)
        placed = {path: jax.device_put(each) for path, each in parameters.items()}
        compiled = jax.jit(function).lower(placed, *columns).compile()
        given = [jax.device_put(column) for column in columns]
        stats: Any = compiled.memory_analysis()
        memory = (
            stats.argument_size_in_bytes + stats.output_size_in_bytes + stats.temp_size_in_bytes
        )
        return Request(lambda: jax.block_until_ready(compiled(placed, *given)), memory)


def exported(
    experiment: Experiment, dataset: Dataset, rows: int
) -> tuple[Callable[..., Any], list[np.ndarray]]:
    """The function that is exported, (parameters, *columns) → the answer; the columns of a request,
    with histories as long as are read."""
    schema, model = dataset.schema, experiment.model
    if isinstance(model, task.LabelModel):
        lengths = LabelEvaluator(model, experiment.evaluation).lengths(schema)
        shapes = batch_shapes(schema, lengths, rows)
        function = labels.function(model, schema, tuple(shapes))
        return function, [np.ones(shape, dtype) for shape, dtype in shapes.values()]
    recommends = task.of_kind(model, task.Recommender)
    count = schema["item"].size - FIRST_VALUE
    length = schema["item"].max_length
    if isinstance(model, task.TrainedModel):
        lengths = model.lengths(schema)
        length = lengths["item"] if "item" in lengths else max(lengths.values())
    function = recommender.recommend(
        model,
        schema,
        min(experiment.export.top_k, count),
        exclude_seen=experiment.evaluation.exclude_seen,
    )
    history = FIRST_VALUE + np.arange(length, dtype=np.int32)[None] % count
    times = [np.zeros((rows, length), np.int32)] if recommends.reads_times() else []
    return function, [np.repeat(history, rows, axis=0), *times]
