"""How much members of a model's layers matter (models/parts/shrink.py)."""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from podway.framework import config, task
from podway.framework.devices import mesh
from podway.framework.embedding.plan import TablePlan
from podway.framework.error import check
from podway.framework.input.batches import TrainBatches
from podway.framework.input.dataset import Dataset
from podway.framework.models.parts.shrink import Group
from podway.framework.training import gradient
from podway.framework.training.step import loss_of


def magnitude(
    group: Group, parameters: Mapping[str, np.ndarray]
) -> Float[np.ndarray, "*layers members"]:
    """The product of the norms of a member's weights in each matrix, those in and those out."""
    product = np.ones(())
    for part in group.parts:
        array = np.asarray(parameters[part.path], np.float64)
        if array.ndim - group.stacked >= 2:  # a bias alone says little
            product = product * np.sqrt(_sums(group, np.square(array), part.axis, part.size))
    return product


def taylor(
    group: Group, parameters: Mapping[str, np.ndarray], gradients: list[dict[str, np.ndarray]]
) -> Float[np.ndarray, "*layers members"]:
    """The mean over batches of (Σ gradient · weight)², a member's weights taken together."""
    total = np.zeros(())
    for of_batch in gradients:
        change = np.zeros(())
        for part in group.parts:
            product = np.asarray(parameters[part.path], np.float64) * of_batch[part.path]
            change = change + _sums(group, product, part.axis, part.size)
        total = total + np.square(change) / len(gradients)
    return total


def _sums(group: Group, array: np.ndarray, axis: int, size: int) -> np.ndarray:
    """Σ over what belongs to each member."""
    array = np.moveaxis(array, axis + group.stacked, int(group.stacked))
    rows = array.shape[:1] if group.stacked else ()
    return array.reshape(*rows, array.shape[len(rows)] // size, -1).sum(-1)


def gradients(
    experiment: config.Experiment,
    dataset: Dataset,
    parameters: Mapping[str, np.ndarray],
    batches: int,
) -> list[dict[str, np.ndarray]]:
    """The loss's gradients of a run's first train batches, without dropout.

    Raises ConfigError for a model with sparse tables.
    """
    model = task.of_kind(experiment.model, task.TrainedModel).prepared(dataset)
    if hasattr(model, "dropout"):
        model = dataclasses.replace(model, dropout=0.0)  # type: ignore[call-arg]
    schema, options = dataset.schema, experiment.trainer
    check(
        not model.tables(schema),
        "compression.importance is taylor, which reads no sparse tables: give magnitude",
    )
    plan = TablePlan({}, mesh.build(experiment.mesh))
    graph = task.structure(model, schema)
    plain = dataclasses.replace(
        experiment, compression=(), trainer=dataclasses.replace(options, precision="f32")
    )

    @jax.jit
    def of_batch(parameters: task.Parameters, batch: task.Batch, key: Array) -> task.Parameters:
        lookups = model.lookups(schema, batch, jax.random.fold_in(key, 0))
        learnt = {path: each for path, each in parameters.items() if not task.is_constant(path)}
        fixed = {path: each for path, each in parameters.items() if path not in learnt}
        loss = loss_of(model, plain, graph, plan, lookups, fixed, jnp.ones(()))
        part = gradient.Part(batch, {name: each.ids for name, each in lookups.items()}, {})
        return jax.grad(lambda learnt: loss(learnt, part, key)[0])(learnt)

    read = TrainBatches(
        dataset,
        model.lengths(schema),
        batch_size=options.batch_size,
        steps=batches,
        seed=options.seed,
        window=options.shuffle_window_blocks,
        crop=options.crop,
    )
    on_device, found = jax.device_put(dict(parameters)), []
    for index in range(batches):
        key = jax.random.fold_in(jax.random.key(options.seed), index)
        found.append(jax.device_get(of_batch(on_device, read[index], key)))
    return found
