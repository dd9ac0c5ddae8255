"""What models that predict a user's next item have in common."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from podway.framework.formats import matrix
from podway.framework.input.packing import SEGMENT
from podway.framework.schema.schema import FIRST_VALUE, PADDING
from podway.framework.task import Batch

ROW_MULTIPLE = 128
"""Rows of the item table are rounded up to this, so that they divide among devices."""


def item_rows(items: int) -> int:
    """Rows of the item table."""
    return -(-items // ROW_MULTIPLE) * ROW_MULTIPLE


def last(history: Int[Array, "batch length"]) -> Int[Array, " batch"]:
    """Where in each history, padded at the end, the last item stands; 0 in an empty one."""
    return jnp.maximum((history != PADDING).sum(1) - 1, 0)


def latest_of(
    values: Int[Array, "batch length"], history: Int[Array, "batch length"], window: int
) -> Int[Array, "batch window"]:
    """The values that belong to the latest items of histories padded at the end."""
    window = min(window, history.shape[1])
    start = jnp.maximum((history != PADDING).sum(1) - window, 0)
    return jnp.take_along_axis(values, start[:, None] + jnp.arange(window), axis=1)


def places(segment: Int[Array, "batch read"] | None) -> Int[Array, "batch read"] | None:
    """Where in its history each position stands, from 0; None: where it stands in its row."""
    if segment is None:
        return None
    at = jnp.arange(segment.shape[1])
    begins = jnp.pad(segment[:, 1:] != segment[:, :-1], ((0, 0), (1, 0)))
    return at - jax.lax.cummax(jnp.where(begins, at, 0), axis=1)


def continues(batch: Batch) -> Bool[Array, "batch read"] | bool:
    """Whether the item after each position that is read is of the same history."""
    return batch[SEGMENT][:, 1:] == batch[SEGMENT][:, :-1] if SEGMENT in batch else True


def item_logits(
    hidden: Float[Array, "*batch width"], table: matrix.Table, items: int
) -> Float[Array, "*batch rows"]:
    """Dot products with the item table (f32); −inf for rows that are no item."""
    logits = matrix.product(hidden, table)
    row = jnp.arange(table.shape[0])
    return jnp.where((row >= FIRST_VALUE) & (row < items), logits, -jnp.inf)


def occurrences(
    history: Int[Array, "batch length"], rows: int
) -> tuple[Float[Array, "batch rows"], Float[Array, "batch length"]]:
    """A user's items as a set: 1 in each item's row, and for each place of the history a weight.

    The weights of an item's places add up to 1, however often it stands there; they are 0 where
    there is no item.
    """
    known = (history >= FIRST_VALUE).astype(jnp.float32)
    batch = jnp.arange(history.shape[0])[:, None]
    count = jnp.zeros((history.shape[0], rows)).at[batch, history].add(known, mode="drop")
    place = known / jnp.maximum(jnp.take_along_axis(count, history, axis=1), 1.0)
    return (count > 0).astype(jnp.float32), place
