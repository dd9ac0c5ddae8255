"""Metrics of labels against plain loops, and their intervals against the bootstrap itself."""

import numpy as np
import pytest

from podway.framework.metrics.labels import (
    Estimate,
    auc,
    calibration,
    expected_calibration_error,
    grouped_auc,
    interval,
    logistic_loss,
    mean,
    normalized_entropy,
    root_mean_square,
    sigmoid,
    softmax_loss,
)
from podway.framework.metrics.ranking import bootstrap_interval


def rows(count: int = 400, users: int = 20, seed: int = 0):
    """Logits with many ties, labels, users."""
    draw = np.random.default_rng(seed)
    user = draw.integers(0, users, count)
    logits = np.round(draw.normal(size=count) + 0.2 * user / users, 1).astype(np.float32)
    labels = (draw.random(count) < sigmoid(logits)).astype(np.float32)
    return logits, labels, user


def value(estimate: Estimate | None) -> float:
    assert estimate is not None
    return estimate.value


def pairwise_auc(scores, labels) -> float:
    pairs = [
        1.0 if high > low else 0.5 if high == low else 0.0
        for high in scores[labels > 0]
        for low in scores[labels == 0]
    ]
    return float(np.mean(pairs))


def test_auc_counts_every_pair_and_half_of_the_ties():
    logits, labels, _ = rows()
    assert len(np.unique(logits)) < 80
    found = auc(logits, labels)
    np.testing.assert_allclose(value(found), pairwise_auc(logits, labels), rtol=1e-12)
    assert value(auc(np.array([3.0, 1.0]), np.array([1.0, 0.0]))) == 1.0
    assert value(auc(np.zeros(5), np.array([1, 0, 0, 1, 0]))) == 0.5
    assert auc(logits, np.ones_like(labels)) is None


def test_gauc_is_the_mean_of_users_who_have_both_labels_weighted_by_rows():
    logits, labels, user = rows()
    labels[user == 7] = 1.0  # has no AUC
    total = weight = 0.0
    for each in range(2, 20):  # 0 and 1 are no known users
        own = user == each
        if each != 7:
            total += own.sum() * pairwise_auc(logits[own], labels[own])
            weight += own.sum()
    found = grouped_auc(logits, labels, user)
    np.testing.assert_allclose(value(found), total / weight, rtol=1e-12)
    assert grouped_auc(logits, labels, np.ones_like(user)) is None


def test_losses_match_their_formulas_and_stay_finite():
    logits, labels, _ = rows()
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    wanted = -np.where(labels > 0, np.log(p), np.log(1 - p))
    np.testing.assert_allclose(logistic_loss(logits, labels), wanted, rtol=1e-9)
    far = np.array([-1000.0, 1000.0], np.float32)
    np.testing.assert_allclose(logistic_loss(far, np.array([1.0, 1.0])), [1000, 0])
    assert sigmoid(far).tolist() == [0.0, 1.0]
    share = labels.mean(dtype=np.float64)
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    found = normalized_entropy(wanted, labels)
    np.testing.assert_allclose(value(found), wanted.mean() / entropy, rtol=1e-9)
    constant = np.full(len(labels), np.log(share / (1 - share)))
    losses = logistic_loss(constant, labels)
    np.testing.assert_allclose(value(normalized_entropy(losses, labels)), 1.0)
    assert normalized_entropy(wanted, np.zeros_like(labels)) is None
    scores = np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32)
    chosen = np.random.default_rng(2).integers(0, 4, 50)
    shares = np.exp(scores.astype(np.float64))
    shares /= shares.sum(1, keepdims=True)
    np.testing.assert_allclose(
        softmax_loss(scores, chosen),
        [-np.log(shares[row, at]) for row, at in enumerate(chosen)],
        rtol=1e-6,
    )


def test_calibration_compares_promised_with_actual_positives():
    logits, labels, _ = rows()
    p = sigmoid(logits)
    np.testing.assert_allclose(value(calibration(p, labels)), p.sum() / labels.sum())
    assert calibration(p, np.zeros_like(labels)) is None
    error = 0.0
    for low in np.arange(10) / 10:
        inside = (p >= low) & (p < low + 0.1)
        if inside.any():
            error += inside.mean() * abs(p[inside].mean() - labels[inside].mean())
    np.testing.assert_allclose(value(expected_calibration_error(p, labels)), error)
    certain = expected_calibration_error(np.ones(3), np.array([1.0, 1.0, 0.0]))
    np.testing.assert_allclose(certain.value, 1 / 3)


METRICS = {
    "auc": lambda z, y, u: auc(z, y),
    "gauc": grouped_auc,
    "logloss": lambda z, y, u: mean(logistic_loss(z, y)),
    "calibration": lambda z, y, u: calibration(sigmoid(z), y),
    "rmse": lambda z, y, u: root_mean_square(z - y),
}


@pytest.mark.parametrize("name", METRICS)
def test_intervals_are_those_of_resampling_users(name):
    """Each user's rows drawn together, and the metric computed anew each time."""
    metric = METRICS[name]
    logits, labels, user = rows(3000, users=100)
    user = user + 2
    estimate = metric(logits, labels, user)
    assert abs(estimate.influence.sum()) < 1e-9
    low, high = interval(estimate, user, 2000, seed=0)  # pyright: ignore[reportGeneralTypeIssues]
    draw, values = np.random.default_rng(1), []
    of_user = [np.flatnonzero(user == each) for each in range(2, 102)]
    for _ in range(400):
        drawn = draw.integers(0, 100, 100)
        taken = np.concatenate([of_user[each] for each in drawn])
        # Twice drawn is two users.
        as_user = np.repeat(np.arange(100) + 2, [len(of_user[each]) for each in drawn])
        values.append(metric(logits[taken], labels[taken], as_user).value)
    wanted = np.quantile(values, [0.025, 0.975])
    np.testing.assert_allclose((low, high), wanted, atol=0.2 * (wanted[1] - wanted[0]))
    assert low < estimate.value < high


def test_the_interval_of_a_mean_is_the_plain_bootstraps():
    values = np.random.default_rng(0).normal(size=50)
    found = interval(mean(values), np.arange(50), 500, seed=3)
    np.testing.assert_allclose(found, bootstrap_interval(values, 500, 3))
    assert interval(mean(values), np.zeros(50, int), 5, 0) is None
    assert interval(Estimate(1.0), np.arange(50), 5, 0) is None
