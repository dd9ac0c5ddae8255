"""How large the inputs of a model's dense layers are, on batches of the train split.

The model answers as it is served, and each dense layer tells what it is given. Of the magnitudes
those are counted that share their first sixteen bits: counts add up to the same in whatever order
and in batches of whatever size they come, and any percentile can be read of them, to 0.8 %.
"""

import dataclasses
import threading
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import io_callback
from jaxtyping import Array, Float, Int

from podway.framework import config, task
from podway.framework.compression import tables
from podway.framework.error import check
from podway.framework.formats.layers import LayerKernel
from podway.framework.input.batches import Dataset, TrainBatches

_BINS = 2**15
"""Sixteen bits of an f32 without its sign: exponent, and seven of the mantissa."""
_INFINITE = 0x7F80
"""The first bin of what is not finite."""


class Magnitudes:
    """How often the inputs of each layer were how large, by the path of its kernel."""

    def __init__(self) -> None:
        self.counts: dict[str, np.ndarray] = {}
        self._lock = threading.Lock()  # layers of one program may run at a time

    def note(self, path: str, layers: int, layer: int, x: np.ndarray) -> None:
        """Counts the inputs of one of the `layers` of a stacked kernel."""
        magnitude = np.abs(np.asarray(x, np.float32)).ravel()
        counts = np.bincount(magnitude.view(np.uint32) >> 16, minlength=_BINS)
        with self._lock:
            self.counts.setdefault(path, np.zeros((layers, _BINS), np.int64))[layer] += counts

    def reach(self, path: str, percentile: float) -> Float[np.ndarray, " layers"]:
        """What so many of a hundred inputs of each layer do not exceed; 0 where all are 0.

        Raises ConfigError where inputs are not finite.
        """
        counts = self.counts[path]
        wrong = int(counts[:, _INFINITE:].sum())
        check(
            wrong == 0,
            f"compression.activations: {wrong:,} inputs of {path} are not finite on the train"
            " split; mend the run, or leave activations out",
        )
        enough = np.ceil(counts.sum(1, keepdims=True) * (percentile / 100))
        found = (counts.cumsum(1) >= np.maximum(enough, 1)).argmax(1)
        edge = ((found + 1).astype(np.uint32) << 16).view(np.float32)
        return np.where(found > 0, edge, np.float32(0))


@dataclasses.dataclass(frozen=True)
class Observed(LayerKernel):
    """A kernel in f32 whose layer tells `told` what it is given."""

    kernel: Float[Array, "*stack inputs outputs"]
    number: Int[Array, "*stack"]
    """Of each layer of a stack."""
    path: str
    layers: int
    told: Magnitudes

    @property
    def shape(self) -> tuple[int, ...]:
        """The weights'."""
        return tuple(self.kernel.shape)

    def dense(self) -> Float[Array, "*stack inputs outputs"]:
        """All of it."""
        return self.kernel

    def layer(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        """x · kernel."""

        def note(number: Any, x: Any) -> None:
            self.told.note(self.path, self.layers, int(number), x)

        io_callback(note, None, self.number, x)
        return jnp.matmul(x, self.kernel, preferred_element_type=jnp.float32)


jax.tree_util.register_dataclass(
    Observed, data_fields=["kernel", "number"], meta_fields=["path", "layers", "told"]
)


def reach(
    experiment: config.Experiment,
    dataset: Dataset,
    parameters: Mapping[str, Any],
    *,
    batches: int,
    percentile: float,
) -> dict[str, Float[np.ndarray, "*stack"]]:
    """What so many of a hundred inputs of each dense layer do not exceed, by its kernel's path.

    Args:
      experiment: its model, and how batches of the train split are read: with its trainer's size
        and seed, and as histories are served, the latest values of each.
      dataset: where from.
      parameters: the model's, by path; tables may be in formats.
      batches: how many are read.
      percentile: of the magnitudes; 100: the largest.

    Raises ConfigError for a model without dense layers, or whose kernels are all in formats.
    """
    model, schema, options = experiment.model, dataset.schema, experiment.trainer
    none = (
        f"compression.activations: {type(model).__name__} has no dense layer (nnx.Linear) whose"
        " kernel is in no format yet; leave activations out"
    )
    check(isinstance(model, task.TrainedModel), none)
    trained = task.of_kind(model, task.TrainedModel)
    told, observed = Magnitudes(), dict(parameters)
    for path in tables.kernels(parameters):
        kernel = parameters[path]
        stack = kernel.shape[:-2]
        number = np.arange(np.prod(stack, dtype=int), dtype=np.int32).reshape(stack)
        observed[path] = Observed(kernel, number, path, number.size, told)  # type: ignore[arg-type]
    infer = jax.jit(task.inference(trained, schema, _head(trained)))
    on_device = jax.device_put(observed)
    read = TrainBatches(
        dataset,
        trained.lengths(schema),
        batch_size=options.batch_size,
        steps=batches,
        seed=options.seed,
        window=options.shuffle_window_blocks,
    )
    for index in range(batches):
        jax.block_until_ready(infer(on_device, dict(read[index])))
        jax.effects_barrier()
    check(bool(told.counts), none)
    return {
        path: told.reach(path, percentile).reshape(parameters[path].shape[:-2])
        for path in sorted(told.counts)
    }


def _head(model: task.TrainedModel) -> task.HeadFunction:
    """What is served; of a recommender without the product with its items, where it is one."""
    if isinstance(model, task.LabelModel):
        return model.predict
    recommender = task.of_kind(model, task.Recommender)
    return recommender.factors if isinstance(recommender, task.Factored) else recommender.scores
