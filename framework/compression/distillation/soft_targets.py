"""What teachers find most probable after each item: the largest probabilities, and whose."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from podway.framework import config, task
from podway.framework.compression.distillation import histories, states, teachers
from podway.framework.compression.distillation.teachers import Teacher
from podway.framework.input.columns import Arrays
from podway.framework.input.dataset import Dataset
from podway.framework.metrics import top_k
from podway.framework.models.parts.history import item_logits
from podway.framework.schema.schema import FIRST_VALUE, PADDING, Schema

SCORES, HISTORIES = 1 << 24, 256
"""Scores that exist at once, and histories that are read at once, at most."""

Ask = Callable[[task.Parameters, task.Batch], Callable[[Array], Float[Array, "batch rows"]]]
"""(parameters, histories) → place in them → logits of what comes after it."""


def asking(model: config.Model, schema: Schema) -> Ask:
    """How a recommender is asked. Its scores are taken for logits."""
    recommender = task.of_kind(model, task.Recommender)
    if isinstance(recommender, states.FactorsEach):
        said = task.inference(recommender, schema, recommender.factors_each)

        def ask_once(parameters: task.Parameters, batch: task.Batch) -> Callable[[Array], Array]:
            query, table = said(parameters, batch, task.SERVING)
            return lambda at: item_logits(query[:, at], table, schema["item"].size)

        return ask_once
    scores = task.inference(recommender, schema, recommender.scores)

    def ask_each(parameters: task.Parameters, batch: task.Batch) -> Callable[[Array], Array]:
        def after(at: Array) -> Array:
            read = states.beginning(batch, at)
            return top_k.exclude(scores(parameters, read, task.SERVING), None, schema["item"].size)

        return after

    return ask_each


def soft_targets(
    found: Sequence[Teacher],
    dataset: Dataset,
    *,
    top: int,
    temperature: float,
) -> Callable[[int], Arrays]:
    """A function: number of a train block → "ids" i32 and "log_probabilities" f32, [items, top],
    and "lengths", [examples].

    After each item of each history, the most probable next items by the mean of the teachers'
    probabilities, each of its softmax of logits · sharpness / temperature.
    Nothing is computed before the first block is asked for.
    """
    schema = dataset.schema
    asked = [asking(each.experiment.model, schema) for each in found]
    on_device = jax.device_put([each.parameters for each in found])
    factors = teachers.sharpness_of(found, dataset)

    @jax.jit
    def say(
        parameters: list[task.Parameters], batch: task.Batch, factors: Array
    ) -> dict[str, Array]:
        after = [ask(own, batch) for ask, own in zip(asked, parameters, strict=True)]

        def at(place: Array) -> tuple[Array, Array]:
            logs = [
                jax.nn.log_softmax(each(place).astype(jnp.float32) * factor, axis=-1)
                for each, factor in zip(after, factors, strict=True)
            ]
            mean = jax.nn.logsumexp(jnp.stack(logs), axis=0) - jnp.log(len(logs))
            return jax.lax.top_k(mean, top)

        values, ids = jax.lax.map(at, jnp.arange(batch["item"].shape[1]))
        ids = ids.swapaxes(0, 1).astype(jnp.int32)
        return {"ids": ids, "log_probabilities": values.swapaxes(0, 1)}

    types = {"ids": np.dtype(np.int32), "log_probabilities": np.dtype(np.float32)}
    of_block = histories.after_each_item(
        dataset,
        teachers.columns_of(found),
        teachers.length_of(found, schema),
        min(HISTORIES, max(1, SCORES // schema["item"].size)),
        {name: jax.ShapeDtypeStruct((top,), each) for name, each in types.items()},
        lambda batch: say(on_device, batch, factors() / np.float32(temperature)),
    )

    def known(block: int) -> Arrays:
        """What is no item, where a teacher knows fewer than `top`, teaches nothing."""
        said = of_block(block)
        ids, logs = said["ids"], said["log_probabilities"]
        ids = np.where(np.isfinite(logs) & (ids >= FIRST_VALUE), ids, PADDING)
        return said | {"ids": ids, "log_probabilities": np.where(ids == PADDING, 0.0, logs)}

    return known
