"""From scores to a ranked list: seen items filtered if wanted, ties in one documented order.

Order of a list: falling score, equal scores by rising id. `jax.lax.top_k` keeps that order, and
`rank` counts in it, so a rank of k or less means exactly "in the top k". Used by the evaluation and
by the exported model alike.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from framework.schema import FIRST_VALUE

EXCLUDED = float("-inf")


def exclude(
    scores: Float[Array, "batch rows"], ids: Int[Array, "batch seen"] | None, catalogue: int
) -> Float[Array, "batch rows"]:
    """Scores with −inf for the given ids, the two kept rows, and rows from `catalogue` on."""
    row = jnp.arange(scores.shape[1])
    scores = jnp.where((row >= FIRST_VALUE) & (row < catalogue), scores, EXCLUDED)
    if ids is None:
        return scores
    batch = jnp.arange(scores.shape[0])[:, None]
    return scores.at[batch, ids].set(EXCLUDED, mode="drop")


def top_k(
    scores: Float[Array, "batch rows"], k: int
) -> tuple[Float[Array, "batch k"], Int[Array, "batch k"]]:
    """The k best scores and their ids (int32)."""
    return jax.lax.top_k(scores, k)


def negative_log_likelihood(
    scores: Float[Array, "batch rows"], target: Int[Array, " batch"], catalogue: int
) -> Float[Array, " batch"]:
    """−log softmax(scores)[target] (nats) over all items; infinite for a target that is none."""
    logits = exclude(scores, None, catalogue)
    own = jnp.take_along_axis(logits, target[:, None], axis=1)[:, 0]
    return jax.nn.logsumexp(logits, axis=1) - own


def rank(scores: Float[Array, "batch rows"], target: Int[Array, " batch"]) -> Int[Array, " batch"]:
    """Position of the target in the list, from 1. An excluded target is last."""
    own = jnp.take_along_axis(scores, target[:, None], axis=1)
    ids = jnp.arange(scores.shape[1])[None, :]
    ahead = (scores > own) | ((scores == own) & (ids < target[:, None]))
    return jnp.where(own[:, 0] == EXCLUDED, scores.shape[1], ahead.sum(1) + 1)
