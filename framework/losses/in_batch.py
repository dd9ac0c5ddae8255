"""Softmax over a catalogue from the batch's own targets, as pure functions of arrays.

Targets of other examples come for free as negatives, but popular items more often than others. So
each candidate stands for 1/q items of its kind, q being the share of the draws that it has: the
logQ correction (Bengio & Senécal 2008, "Adaptive importance sampling to accelerate training of a
neural probabilistic language model"; Yi et al. 2019, "Sampling-bias-corrected neural modeling for
large corpus item recommendations"). The example's own target is no draw, so it is not corrected and
is no candidate of its own (Khrylchenko et al. 2025, arXiv:2507.09331).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from podway.framework.losses.weights import Weights, divisor, weigh


def mixed_shares(
    share: Float[Array, "*ids"],
    uniform: Float[Array, "*ids"],
    in_batch: Float[Array, ""] | float,
    drawn: int,
) -> Float[Array, "*ids"]:
    """q of ids in a pool of `in_batch` targets and `drawn` uniform draws.

    (Mixed negative sampling, Yang et al. 2020, "Mixed negative sampling for learning two-tower
    neural networks in recommendations".)

    Args:
      share: of the targets that each id is expected to be.
      uniform: chance of each id in one uniform draw; 0 where it cannot be drawn.
      in_batch: targets in the batch.
      drawn: uniform draws.
    """
    return (in_batch * share + drawn * uniform) / jnp.maximum(in_batch + drawn, 1)


def corrected_softmax_cross_entropy(
    own: Float[Array, " examples"],
    logits: Float[Array, "examples candidates"],
    negative: Bool[Array, "examples candidates"],
    q: Float[Array, " candidates"],
    own_q: Float[Array, " examples"],
    weights: Weights,
) -> Float[Array, ""]:
    """Weighted mean of −log softmax(target) (nats, f32), from some candidates.

    The sum of exp(logit) over all items but the target is estimated by the mean over the negatives
    of exp(logit) · (1 − own_q) / q, as one that is not the target is drawn with q / (1 − own_q).

    Args:
      own: scores of the targets.
      logits: scores of the candidates.
      negative: which candidates are for this example neither its own target (accidental hits) nor
        otherwise to be left out.
      q: share of the draws that each candidate's id has; more than 0 where it is a negative.
      own_q: the same of the targets.
      weights: what each example counts.
    """
    negatives = negative.sum(-1, keepdims=True)
    stands_for = jnp.log1p(-own_q)[:, None] - jnp.log(jnp.maximum(negatives, 1))
    log_q = jnp.log(jnp.where(q > 0, q, 1.0))
    corrected = jnp.where(negative, logits - log_q + stands_for, -jnp.inf)
    every = jnp.concatenate([own[:, None], corrected], axis=-1)
    terms = weigh(jax.nn.logsumexp(every, axis=-1) - own, weights)
    return terms.sum() / divisor(weights)


def negatives_of(
    targets: Int[Array, " examples"],
    owners: Int[Array, " examples"],
    candidates: Int[Array, " candidates"],
    candidates_owners: Int[Array, " candidates"],
    valid: Bool[Array, " candidates"],
) -> Bool[Array, "examples candidates"]:
    """Valid candidates that are neither the example's target nor another target of its owner.

    What the same user chose at another time is drawn by that user's taste, not with q.
    """
    other = candidates != targets[:, None]
    return other & (candidates_owners != owners[:, None]) & valid
