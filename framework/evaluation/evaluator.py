"""What a model is evaluated by (evaluators.evaluator_of says which).

The trainer, the evaluation and preflight know only this: a batch of examples goes into a function
that is traced, and what comes out is made into a table of metrics, one of which selects the best
checkpoint. Models of one kind are evaluated alike: those that rank the catalogue by
framework/evaluation/recommendation.py, those that predict labels of rows by
framework/evaluation/labels.py.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np

from podway.framework import config
from podway.framework.input.dataset import Dataset
from podway.framework.schema.schema import Schema
from podway.framework.task import SERVING, Inference, ParametricModel

Metrics = dict[str, dict[str, float]]
"""{metric: {"value"}}, and "low" and "high" where it has a 95 % interval."""


class EvaluationResult(NamedTuple):
    """What a function's answers are worth on a split.

    Attributes:
      metrics: over its examples.
      ranks: i32 [examples], the rank of each one's target, in the order of the split; None where
        nothing is ranked.
      lists: i32 [chosen, k], ids of the best items of the examples that samples.chosen names, the
        best first; None where nothing is ranked.
    """

    metrics: Metrics
    ranks: np.ndarray | None = None
    lists: np.ndarray | None = None


Compute = Callable[[Any], Any]
"""What a model says of a batch, a pytree of arrays of NumPy or JAX; all have the batch first."""


class Evaluate(Protocol):
    """Evaluates what a function says of all examples of one split."""

    def __call__(
        self, compute: Compute, label: str = "", *, baseline: bool = False
    ) -> EvaluationResult:
        """The metrics, and what they are made of.

        Args:
          compute: gives what is evaluated; called once per batch, all of one shape.
          label: for the progress bar; "": the bar goes away.
          baseline: whether it is none of the models, so that its numbers need be no logits.
        """
        ...


class Evaluator(Protocol):
    """How a kind of models is evaluated."""

    @property
    def model(self) -> ParametricModel:
        """The model that is evaluated."""
        ...

    @property
    def metric(self) -> str:
        """The validation metric that selects the best checkpoint."""
        ...

    @property
    def remark(self) -> str:
        """What the reader of a table must know; "": nothing."""
        ...

    @property
    def largest_is_best(self) -> bool:
        """Whether the best checkpoint is the one where `metric` is largest, or smallest."""
        ...

    def shapes(self, schema: Schema) -> Any:
        """The batch that `compute` takes, as a pytree of jax.ShapeDtypeStruct."""
        ...

    def inference(self, schema: Schema) -> Inference:
        """What the model says of a batch, as a function of its parameters."""
        ...

    def for_split(
        self,
        dataset: Dataset,
        split: str,
        *,
        devices: jax.sharding.Mesh | None = None,
        intervals: bool = True,
    ) -> Evaluate:
        """A function that evaluates on a split, for one model after the other.

        Args:
          dataset: to read from; with several processes, in each of them.
          split: of the dataset.
          devices: to lay the batches on, split over all where they divide; with several processes
            all must call, and all get all metrics. None: batches stay NumPy arrays.
          intervals: whether to compute the intervals, which takes its time.

        Raises ConfigError: the split has no examples.
        """
        ...

    def baselines(self, dataset: Dataset, seed: int) -> dict[str, Compute]:
        """What a model must beat, by name, fitted on the train split; `seed` is for drawing."""
        ...


@runtime_checkable
class OwnEvaluator(Protocol):
    """A model that is evaluated in a way of its own."""

    def evaluator(self, options: config.Evaluation) -> Evaluator:
        """How."""
        ...


def answers(evaluator: Evaluator, schema: Schema, parameters: Mapping[str, np.ndarray]) -> Compute:
    """What the evaluator's model, with these parameters, says of batches."""
    infer, on_device = evaluator.inference(schema), jax.device_put(dict(parameters))
    compute = jax.jit(lambda values, batch: infer(values, batch, SERVING))
    return lambda batch: compute(on_device, batch)
