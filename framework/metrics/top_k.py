"""From scores to a ranked list: seen items filtered if wanted, ties in one documented order.

Order of a list: falling score, equal scores by rising id. `jax.lax.top_k` keeps that order, and
`rank` counts in it, so a rank of k or less means exactly "in the top k". A score that is not a
number, or +∞, never wins: it counts as excluded. Used by the evaluation and by the exported model
alike.

The `blocked_` functions do the same where scores are dot products, without ever holding all of
them: the items pass in blocks.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from podway.framework.formats import matrix
from podway.framework.metrics.ranking import UNRANKED
from podway.framework.schema.schema import FIRST_VALUE

EXCLUDED = float("-inf")


def exclude(
    scores: Float[Array, "batch rows"], ids: Int[Array, "batch seen"] | None, catalogue: int
) -> Float[Array, "batch rows"]:
    """Scores with −inf for the given ids, the two kept rows, rows from `catalogue` on, and whatever
    is not a number, or +∞."""
    row = jnp.arange(scores.shape[1])
    allowed = (row >= FIRST_VALUE) & (row < catalogue) & ~invalid(scores)
    scores = jnp.where(allowed, scores, EXCLUDED)
    if ids is None:
        return scores
    batch = jnp.arange(scores.shape[0])[:, None]
    return scores.at[batch, ids].set(EXCLUDED, mode="drop")


def invalid(scores: Float[Array, "batch rows"]) -> Bool[Array, "batch rows"]:
    """Which scores cannot be ranked: those that are not a number, and +∞. −∞ is a low score."""
    return ~(scores < jnp.inf)


def top_k(
    scores: Float[Array, "batch rows"], k: int
) -> tuple[Float[Array, "batch k"], Int[Array, "batch k"]]:
    """The k best scores and their ids (int32)."""
    return jax.lax.top_k(scores, k)


def negative_log_likelihood(
    scores: Float[Array, "batch rows"], target: Int[Array, " batch"], catalogue: int
) -> Float[Array, " batch"]:
    """−log softmax(scores)[target] (nats) over all items; infinite for a target that is none.

    Not a number where one of the scores is none, or +∞.
    """
    row = jnp.arange(scores.shape[1])
    logits = jnp.where((row >= FIRST_VALUE) & (row < catalogue), scores, EXCLUDED)
    own = jnp.take_along_axis(logits, target[:, None], axis=1)[:, 0]
    return _surprise(jax.nn.logsumexp(logits, axis=1), own)


def _surprise(total: Float[Array, " batch"], own: Float[Array, " batch"]) -> Float[Array, " batch"]:
    """The log of all items' sum less a target's own logit."""
    nats = jnp.where(own == EXCLUDED, jnp.inf, total - own)
    return jnp.where(invalid(total), jnp.nan, nats)


def rank(scores: Float[Array, "batch rows"], target: Int[Array, " batch"]) -> Int[Array, " batch"]:
    """Position of the target in the list, from 1; UNRANKED for an excluded target."""
    own = jnp.take_along_axis(scores, target[:, None], axis=1)
    ids = jnp.arange(scores.shape[1])[None, :]
    ahead = (scores > own) | ((scores == own) & (ids < target[:, None]))
    return jnp.where(own[:, 0] == EXCLUDED, UNRANKED, ahead.sum(1) + 1)


class Factors(NamedTuple):
    """Scores that are dot products: query [batch, width] of each user, table [rows, width]."""

    query: Float[Array, "batch width"]
    table: matrix.Table


class ScoreBlock(NamedTuple):
    """Scores of consecutive items; EXCLUDED for those that are no items or were seen.

    Attributes:
      start: the id of the first row; earlier ids come before this block, and only they.
      ids: [block]; the last block begins with ids that the one before has had, as EXCLUDED.
      scores: [batch, block].
      logits: [batch, block], where what was seen, and what is not a number, is left in.
    """

    start: Int[Array, ""]
    ids: Int[Array, " block"]
    scores: Float[Array, "batch block"]
    logits: Float[Array, "batch block"]


def block_of(
    factors: Factors,
    number: Int[Array, ""],
    block: int,
    ids: Int[Array, "batch seen"] | None,
    catalogue: int,
) -> ScoreBlock:
    """Block `number` of `exclude`(query · tableᵀ, ids, catalogue); f32."""
    start = number * block
    first = jnp.minimum(start, factors.table.shape[0] - block)
    scores = matrix.product(factors.query, matrix.part(factors.table, first, block))
    own = first + jnp.arange(block)
    allowed = (own >= start) & (own >= FIRST_VALUE) & (own < catalogue)
    logits = jnp.where(allowed, scores, EXCLUDED)
    scores = jnp.where(invalid(logits), EXCLUDED, logits)
    if ids is not None:
        # What lies before the block would count from its end.
        place = jnp.where(ids >= first, ids - first, block)
        batch = jnp.arange(scores.shape[0])[:, None]
        scores = scores.at[batch, place].set(EXCLUDED, mode="drop")
    return ScoreBlock(start, own, scores, logits)


def blocked_top_k(
    factors: Factors,
    k: int,
    block: int,
    ids: Int[Array, "batch seen"] | None,
    catalogue: int,
) -> tuple[Float[Array, "batch k"], Int[Array, "batch k"]]:
    """`top_k` of `exclude`(query · tableᵀ, ids, catalogue), with `block` items scored at a time.

    Where fewer than k items are left, the score is EXCLUDED and the id no particular one.
    """
    rows, batch = factors.table.shape[0], factors.query.shape[0]
    block = min(block, rows)

    def merge(best: tuple[Array, Array], number: Array) -> tuple[tuple[Array, Array], None]:
        part = block_of(factors, number, block, ids, catalogue)
        # The best until now have the lower ids: they stand first, so ties go to them.
        scores = jnp.concatenate([best[0], part.scores], axis=1)
        theirs = jnp.broadcast_to(part.ids, part.scores.shape)
        found, place = jax.lax.top_k(scores, k)
        joined = jnp.concatenate([best[1], theirs], axis=1)
        return (found, jnp.take_along_axis(joined, place, axis=1)), None

    none = jnp.full((batch, k), EXCLUDED), jnp.zeros((batch, k), jnp.int32)
    return jax.lax.scan(merge, none, jnp.arange(-(-rows // block)))[0]


def blocked_rank(
    factors: Factors,
    target: Int[Array, " batch"],
    block: int,
    ids: Int[Array, "batch seen"] | None,
    catalogue: int,
) -> Int[Array, " batch"]:
    """`rank` in `exclude`(query · tableᵀ, ids, catalogue), with `block` items scored at a time.

    The blocks pass twice: first for the targets' scores, then to count what is ahead of them. Both
    times the same compiled product gives the scores, so that a tie is one.
    """
    rows, batch = factors.table.shape[0], factors.query.shape[0]
    block = min(block, rows)
    blocks = -(-rows // block)

    def count(state: tuple[Array, Array], step: Array) -> tuple[tuple[Array, Array], None]:
        own, ahead = state
        part = block_of(factors, step % blocks, block, ids, catalogue)
        here = (target >= part.start) & (target <= part.ids[-1])
        place = jnp.clip(target - part.ids[0], 0, block - 1)[:, None]
        own = jnp.where(here, jnp.take_along_axis(part.scores, place, axis=1)[:, 0], own)
        tied = (part.scores == own[:, None]) & (part.ids < target[:, None])
        first = ((part.scores > own[:, None]) | tied).sum(1)
        return (own, ahead + jnp.where(step < blocks, 0, first)), None

    none = jnp.full(batch, EXCLUDED), jnp.zeros(batch, jnp.int32)
    own, ahead = jax.lax.scan(count, none, jnp.arange(2 * blocks))[0]
    return jnp.where(own == EXCLUDED, UNRANKED, ahead + 1)


def blocked_negative_log_likelihood(
    factors: Factors, target: Int[Array, " batch"], block: int, catalogue: int
) -> Float[Array, " batch"]:
    """`negative_log_likelihood` of query · tableᵀ, with `block` items scored at a time."""
    rows, batch = factors.table.shape[0], factors.query.shape[0]
    block = min(block, rows)

    def add(total: Array, number: Array) -> tuple[Array, None]:
        part = block_of(factors, number, block, None, catalogue)
        return jnp.logaddexp(total, jax.nn.logsumexp(part.logits, axis=1)), None

    total, _ = jax.lax.scan(add, jnp.full(batch, EXCLUDED), jnp.arange(-(-rows // block)))
    own = (factors.query * matrix.rows(factors.table, target)).sum(1, dtype=jnp.float32)
    known = (target >= FIRST_VALUE) & (target < catalogue)
    return _surprise(total, jnp.where(known, own, EXCLUDED))
