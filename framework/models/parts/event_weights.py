"""What the events of a history count as targets, in training (schema.EVENT_WEIGHT)."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from podway.framework.losses.weights import Weights
from podway.framework.schema.schema import EVENT_WEIGHT, FIRST_VALUE, Schema
from podway.framework.task import Batch


def history_columns(schema: Schema, *names: str) -> list[str]:
    """The columns of a training batch of histories: these, and the events' weights, if any."""
    return [*names, *([EVENT_WEIGHT] if schema.has(EVENT_WEIGHT) else [])]


def weights_of_next(batch: Batch, valid: Bool[Array, "batch read"]) -> Weights:
    """What the item after each position that is read counts as a target, of those that are valid:
    the weight of its event, where events have one."""
    if EVENT_WEIGHT not in batch:
        return valid
    return jnp.where(valid, batch[EVENT_WEIGHT][:, 1:], 0.0)


def may_be_targets(batch: Batch) -> Bool[Array, "batch length"]:
    """Where there is a known item of an event that may be a target."""
    known = batch["item"] >= FIRST_VALUE
    return known & (batch[EVENT_WEIGHT] > 0) if EVENT_WEIGHT in batch else known


def weights_at(
    batch: Batch, at: Int[Array, "batch places"], there: Bool[Array, "batch places"]
) -> Weights:
    """What the items at places of their histories count as targets, of those that are there."""
    if EVENT_WEIGHT not in batch:
        return there
    return jnp.where(there, jnp.take_along_axis(batch[EVENT_WEIGHT], at, axis=1), 0.0)
