"""Teachers whose scores are products: their state after each item, and their items' vectors.

Of such a teacher a state's numbers say what it thinks of every item, in less room than its most
probable ones take (FactorsEach, Factored). The vectors are kept once.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from podway.framework import config, task
from podway.framework.compression.distillation import histories, teachers
from podway.framework.compression.distillation.teachers import Teacher
from podway.framework.embedding.lookup import EmbeddedRows
from podway.framework.error import ConfigError
from podway.framework.formats import matrix
from podway.framework.input.columns import Arrays
from podway.framework.input.dataset import Dataset
from podway.framework.models.parts.history import item_rows
from podway.framework.schema.schema import PADDING, Schema

NUMBERS = 1 << 24
"""Of states that exist at once, at most."""


@runtime_checkable
class FactorsEach(Protocol):
    """A recommender that has a vector of the history after each of its items, in one pass."""

    def factors_each(
        self,
        module: Any,
        batch: task.Batch,
        rows: Mapping[str, EmbeddedRows],
        context: task.ForwardContext = task.SERVING,
    ) -> tuple[Float[Array, "batch length width"], Any]:
        """What `scores` would multiply if the history ended with each item: the vectors; the
        items'."""
        ...


def beginning(batch: task.Batch, at: Int[Array, ""]) -> dict[str, Array]:
    """Histories up to a place, the rest of them padding."""
    seen = jnp.arange(batch["item"].shape[1]) <= at
    return {name: jnp.where(seen, column, PADDING) for name, column in batch.items()}


Read = Callable[[task.Parameters, task.Batch], tuple[Float[Array, "batch length width"], Any]]
"""(parameters, histories) → the state after each item; the items' vectors."""


def reading(model: config.Model, schema: Schema) -> Read | None:
    """How a recommender's states are read; None: its scores are no product of a state."""
    recommender = task.of_kind(model, task.Recommender)
    if isinstance(recommender, FactorsEach):
        said = task.inference(recommender, schema, recommender.factors_each)

        def once(parameters: task.Parameters, batch: task.Batch) -> Any:
            query, table = said(parameters, batch, task.SERVING)
            padded = batch["item"].shape[1] - query.shape[1]  # no model reads its padding
            return jnp.pad(query, ((0, 0), (0, padded), (0, 0))), table

        return once
    if not isinstance(recommender, task.Factored):
        return None
    factors = task.inference(recommender, schema, recommender.factors)

    def each(parameters: task.Parameters, batch: task.Batch) -> Any:
        def after(at: Array) -> Array:
            return factors(parameters, beginning(batch, at), task.SERVING).query

        query = jax.lax.map(after, jnp.arange(batch["item"].shape[1]))
        return query.swapaxes(0, 1), factors(parameters, batch, task.SERVING).table

    return each


def readings(found: Sequence[Teacher], schema: Schema, field: str) -> list[Read]:
    """That of each teacher. Raises ConfigError, which names the `field` that asks for states."""
    read = []
    for teacher in found:
        one = reading(teacher.experiment.model, schema)
        if one is None:
            raise ConfigError(
                f"{field} needs teachers whose scores are the product of a state and the items'"
                f" vectors, and {teacher.folder} is of {type(teacher.experiment.model).__name__},"
                " whose scores are none: leave that teacher out, or give compression.top a number"
                " and compression.hidden_weight 0"
            )
        read.append(one)
    return read


def widths(found: Sequence[Teacher], read: Sequence[Read]) -> list[int]:
    """Numbers of a state of each teacher."""
    said = _said_of_nothing(found, read, jax.eval_shape)
    return [int(query.shape[-1]) for query, _ in said]


def _said_of_nothing(found: Sequence[Teacher], read: Sequence[Read], call: Any) -> list[Any]:
    names = teachers.columns_of(found)
    batch = dict.fromkeys(names, jnp.zeros((1, histories.SHORTEST), jnp.int32))
    return [call(one, each.parameters, batch) for one, each in zip(read, found, strict=True)]


def states(
    found: Sequence[Teacher], dataset: Dataset, read: Sequence[Read], names: Sequence[str]
) -> Callable[[int], Arrays]:
    """A function: number of a train block → the states of each teacher, f32 [items, width], by the
    column that `names` has for it, and "lengths", [examples].

    They are multiplied by the teacher's sharpness, so that their products are logits. Nothing is
    computed before the first block is asked for.
    """
    schema = dataset.schema
    on_device = jax.device_put([each.parameters for each in found])
    factors, numbers = teachers.sharpness_of(found, dataset), widths(found, read)

    @jax.jit
    def say(
        parameters: list[task.Parameters], batch: task.Batch, factors: Array
    ) -> dict[str, Array]:
        return {
            name: one(own, batch)[0].astype(jnp.float32) * factor
            for name, one, own, factor in zip(names, read, parameters, factors, strict=True)
        }

    length = teachers.length_of(found, schema)
    return histories.after_each_item(
        dataset,
        teachers.columns_of(found),
        length,
        min(256, max(1, NUMBERS // (length * sum(numbers)))),
        {
            name: jax.ShapeDtypeStruct((width,), np.float32)
            for name, width in zip(names, numbers, strict=True)
        },
        lambda batch: say(on_device, batch, factors()),
    )


def tables(
    found: Sequence[Teacher], schema: Schema, read: Sequence[Read], names: Sequence[str]
) -> dict[str, np.ndarray]:
    """The items' vectors of each teacher, f32 [rows of an item table, width], by these names."""
    rows, size, said = item_rows(schema["item"].size), schema["item"].size, {}
    answers = _said_of_nothing(found, read, lambda one, *given: jax.jit(one)(*given))
    for name, (_, table) in zip(names, answers, strict=True):
        vectors = np.asarray(matrix.dense(table), np.float32)[:size]
        said[name] = np.pad(vectors, ((0, rows - size), (0, 0)))
    return said
