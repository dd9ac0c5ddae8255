"""Metrics of predicted labels; pure NumPy, in memory proportional to the rows of a split.

Rows of one user are no independent observations, so intervals come from resampling users. A metric
that is no mean over rows says with its value how far each row pulls it (its influence, the first
term of its expansion: Efron 1982, "The jackknife, the bootstrap and other resampling plans"), and
is resampled as value + Σ influence. For AUC these are the placements of DeLong et al. (1988), added
up by user as Obuchowski (1997) does.
"""

from typing import NamedTuple

import numpy as np

from podway.framework.metrics import ranking
from podway.framework.schema.schema import FIRST_VALUE


class Estimate(NamedTuple):
    """A metric.

    Attributes:
      value: the metric.
      influence: how far each row pulls it, [rows], of sum 0; None: it has no interval.
    """

    value: float
    influence: np.ndarray | None = None


def interval(
    estimate: Estimate, users: np.ndarray, resamples: int, seed: int
) -> tuple[float, float] | None:
    """The 95 % interval by resampling users; None where the metric has none, or one user has all.

    Args:
      estimate: of rows.
      users: the user of each row, ids from 0.
      resamples: of the users.
      seed: of the resamples.
    """
    if estimate.influence is None:
        return None
    rows = np.bincount(users)
    pulls = np.bincount(users, weights=estimate.influence)[rows > 0]
    if len(pulls) < 2:
        return None
    return ranking.bootstrap_interval(estimate.value + len(pulls) * pulls, resamples, seed)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """f64 probabilities."""
    return np.exp(-np.logaddexp(0.0, -logits.astype(np.float64)))


def logistic_loss(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """−log probability (nats, f64) of each label, 0 or 1."""
    logits = logits.astype(np.float64)
    return np.logaddexp(0.0, logits) - labels * logits


def softmax_loss(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """−log probability (nats, f64) of each row's class; logits [rows, classes]."""
    logits = logits.astype(np.float64)
    logits = logits - logits.max(1, keepdims=True)
    picked = np.take_along_axis(logits, labels.astype(np.int64)[:, None], axis=1)[:, 0]
    return np.log(np.exp(logits).sum(1)) - picked


def mean(terms: np.ndarray) -> Estimate:
    """Of a number per row."""
    terms = terms.astype(np.float64)
    value = terms.mean()
    return Estimate(float(value), (terms - value) / len(terms))


def weighted_mean(terms: np.ndarray, weights: np.ndarray) -> Estimate | None:
    """Of a number per row, by weights; None where these are all 0."""
    terms, total = terms.astype(np.float64), weights.sum()
    if not total:
        return None
    value = (weights * terms).sum() / total
    return Estimate(float(value), weights * (terms - value) / total)


def root_mean_square(errors: np.ndarray) -> Estimate:
    """Of an error per row."""
    square = mean(errors.astype(np.float64) ** 2)
    value = np.sqrt(square.value)
    assert square.influence is not None
    return Estimate(float(value), square.influence / (2 * value) if value else None)


def auc(scores: np.ndarray, labels: np.ndarray) -> Estimate | None:
    """The share of pairs of a positive and a negative that are in order; ties count half.

    Exact, in the time of a sort. None where all labels are alike.
    """
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    positive = labels > 0
    positives = np.bincount(place[positive], minlength=len(counts)).astype(np.float64)
    negatives = counts - positives
    p, n = positives.sum(), negatives.sum()
    if not p or not n:
        return None
    beaten = (np.cumsum(negatives) - negatives / 2) / n  # share of negatives, by score
    beating = (p - np.cumsum(positives) + positives / 2) / p  # share of positives
    value = (positives * beaten).sum() / p
    pulls = np.where(positive, (beaten[place] - value) / p, (beating[place] - value) / n)
    return Estimate(float(value), pulls)


def grouped_auc(scores: np.ndarray, labels: np.ndarray, users: np.ndarray) -> Estimate | None:
    """The mean of each user's own AUC, weighted by its rows (Zhu et al. 2017, arXiv:1706.06978).

    Users whose labels are all alike have none and are left out, as are rows whose user is unknown:
    they belong to several. None where no user is left.
    """
    order = np.lexsort((scores, users))
    user, score, positive = users[order], scores[order], labels[order] > 0
    first = np.concatenate([[True], (user[1:] != user[:-1]) | (score[1:] != score[:-1])])
    tie = np.cumsum(first) - 1
    owner = user[first]
    positives = np.bincount(tie, weights=positive)
    negatives = np.bincount(tie) - positives
    size = int(users.max()) + 1
    p, n = (np.bincount(owner, weights=each, minlength=size) for each in (positives, negatives))
    earlier = np.cumsum(n) - n  # negatives of the users before
    beaten = np.cumsum(negatives) - negatives / 2 - earlier[owner]
    wins = np.bincount(owner, weights=positives * beaten, minlength=size)
    rankable = (p > 0) & (n > 0) & (np.arange(size) >= FIRST_VALUE)
    if not rankable.any():
        return None
    own = np.where(rankable, wins / np.maximum(p * n, 1), 0.0)
    rows = (p + n)[rankable].sum()
    value = (own * (p + n) * rankable).sum() / rows
    pulls = np.where(rankable, (own - value) / rows, 0.0)
    return Estimate(float(value), pulls[users])


def normalized_entropy(losses: np.ndarray, labels: np.ndarray) -> Estimate | None:
    """Mean log loss over that of the rows' own mean label (He et al. 2014, "Practical lessons from
    predicting clicks on ads at Facebook"); below 1: better than the best constant.

    None where all labels are alike.
    """
    share = labels.mean(dtype=np.float64)
    if share in (0.0, 1.0):
        return None
    entropy = -(share * np.log(share) + (1 - share) * np.log1p(-share))
    return Estimate(float(losses.mean() / entropy))


def calibration(probability: np.ndarray, labels: np.ndarray) -> Estimate | None:
    """Mean prediction over mean label: 1 where as many positives are promised as there are."""
    positives = labels.sum(dtype=np.float64)
    if not positives:
        return None
    value = probability.sum() / positives
    return Estimate(float(value), (probability - value * labels) / positives)


def expected_calibration_error(
    probability: np.ndarray, labels: np.ndarray, bins: int = 10
) -> Estimate:
    """Mean distance of prediction and label, by bins of equal width (Naeini et al. 2015)."""
    place = np.minimum((probability * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(place, weights=probability - labels, minlength=bins)
    return Estimate(float(np.abs(gaps).sum() / len(labels)))
