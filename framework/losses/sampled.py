"""The softmax estimated from a few drawn rows."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from podway.framework.losses.weights import Weights, divisor, weigh


def sampled_softmax_cross_entropy(
    hidden: Float[Array, "batch length width"],
    positives: Float[Array, "batch length width"],
    targets: Int[Array, "batch length"],
    weights: Weights,
    negatives: Float[Array, "*owners drawn width"],
    drawn: Int[Array, "*owners drawn"],
    catalogue: int,
) -> Float[Array, ""]:
    """Weighted mean of −log softmax(target) (nats, f32), from a few drawn rows.

    The sum over the other catalogue − 1 rows is estimated from those that are drawn, uniformly,
    each standing for (catalogue − 1) / (drawn ones that are not the target). (Importance sampling
    of the partition function, Bengio & Senécal 2003; Jean et al. 2015, arXiv:1412.2007, with a
    uniform proposal.)

    Args:
      hidden: states that are to predict.
      positives: the targets' rows.
      targets: their ids.
      weights: what each position counts, [batch, length].
      negatives: the drawn rows. `owners` are as in `binary_cross_entropy`.
      drawn: their ids.
      catalogue: rows that could have been drawn, the target among them.
    """
    logits, other = score_drawn(hidden, negatives, drawn, targets)
    stands_for = (catalogue - 1) / jnp.maximum(other.sum(-1, keepdims=True), 1)
    logits = jnp.where(other, logits + jnp.log(stands_for), -jnp.inf)
    own = jnp.einsum("blw,blw->bl", hidden, positives, preferred_element_type=jnp.float32)
    every = jnp.concatenate([own[..., None], logits], axis=-1)
    terms = weigh(jax.nn.logsumexp(every, axis=-1) - own, weights)
    return terms.sum() / divisor(weights)


def score_drawn(
    hidden, negatives, drawn, targets
) -> tuple[Float[Array, "batch length drawn"], Bool[Array, "batch length drawn"]]:
    """Scores of the drawn rows in f32, and which of them are not the target."""
    owners = "bl"[: drawn.ndim - 1]
    scores = jnp.einsum(
        f"blw,{owners}nw->bln", hidden, negatives, preferred_element_type=jnp.float32
    )
    return scores, jnp.expand_dims(drawn, range(drawn.ndim - 1, 2)) != targets[..., None]
