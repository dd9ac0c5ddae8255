"""Intervals cover at their rate, and alarms are as rare as they say: on simulated experiments."""

import math
from typing import Any

import numpy as np
import pytest

from podway.online.experiments.report.estimate import (
    MISMATCH,
    adjusted,
    compare,
    estimates,
    mismatch,
    together,
)

TRIALS = 600


def simulated(random, users=400, effect=0.3, share=0.5):
    """Outcomes of skewed users: many do nothing, some a lot, and they did so before."""
    arm = (random.random(users) < share).astype(int)
    liking = random.gamma(0.7, 2.0, users)
    before = random.poisson(liking).astype(float)
    after = random.poisson(liking).astype(float) + effect * arm
    return arm, after, before


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_intervals_cover_at_their_rate_and_cuped_makes_them_narrower(level):
    random = np.random.default_rng(5)
    covered = {"plain": 0, "cuped": 0, "relative": 0}
    widths = {"plain": 0.0, "cuped": 0.0}
    for _ in range(TRIALS):
        arm, after, before = simulated(random)
        for name, covariate in (("plain", None), ("cuped", before)):
            [found] = estimates(arm, after, covariate, 2, level)
            covered[name] += found.low <= 0.3 <= found.high
            widths[name] += found.high - found.low
        truth = 0.3 / (0.7 * 2.0)
        covered["relative"] += found.relative_low <= truth <= found.relative_high
    # Three standard errors of a rate of so many experiments.
    off = 3 * math.sqrt(level * (1 - level) / TRIALS)
    for name, times in covered.items():
        assert times / TRIALS == pytest.approx(level, abs=off), name
    assert widths["cuped"] < 0.8 * widths["plain"]


def test_without_an_effect_differences_are_called_as_often_as_they_may_be():
    random = np.random.default_rng(6)
    called = 0
    for _ in range(TRIALS):
        arm, after, before = simulated(random, effect=0.0, share=0.2)
        [found] = estimates(arm, after, before, 2)
        called += found.p < 0.05
    assert called / TRIALS == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / TRIALS))


def test_an_effect_is_not_taken_for_the_covariates_doing():
    """Were the slope that of all users together, an effect beside uneven arms would shrink."""
    arm = np.repeat([0, 1], 50)
    before = np.concatenate([np.tile([0.0, 2.0], 25), np.tile([0.0, 2.0], 25)])
    after = before * 3 + arm * 5.0
    values = adjusted(arm, after, before)
    assert np.ptp(values[arm == 0]) == pytest.approx(0.0)
    assert values[arm == 1].mean() - values[arm == 0].mean() == pytest.approx(5.0)
    assert adjusted(arm, after, np.ones(100)) is after, (
        "a covariate without spread explains nothing"
    )


def test_against_scipy_and_by_hand():
    from scipy import stats

    one, two = np.array([1.0, 2.0, 3.0, 6.0]), np.array([2.0, 4.0, 6.0, 8.0, 7.0])
    found = compare(one, two)
    known: Any = stats.ttest_ind(two, one, equal_var=False)
    assert found.p == pytest.approx(known.pvalue)
    low, high = known.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.relative == pytest.approx(5.4 / 3.0 - 1)


def test_what_cannot_be_said():
    few = compare(np.array([1.0]), np.array([1.0, 2.0]))
    assert all(math.isnan(each) for each in (few.difference, few.low, few.p))
    same = compare(np.ones(5), np.ones(5))
    assert (same.difference, same.low, same.high, same.p) == (0, 0, 0, 1)
    nothing = compare(np.zeros(5), np.array([0.0, 1, 0, 1, 0]))
    assert math.isnan(nothing.relative)
    poor = compare(np.array([0.0, 0.0, 0.0, 0.1]), np.array([1.0, 2.0, 1.0, 2.0]))
    assert math.isnan(poor.relative_low), "the control's mean may be 0"


def test_a_mismatch_of_samples_is_as_rare_as_it_says_and_found_where_it_is():
    random = np.random.default_rng(7)
    alarms = 0
    for _ in range(1000):
        counts = random.multinomial(4000, [0.5, 0.3, 0.2])
        alarms += mismatch(counts.tolist(), [5, 3, 2]) < 0.05
    assert alarms / 1000 == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / 1000))
    assert mismatch([10_000, 9_500], [1, 1]) < MISMATCH
    assert mismatch([10_000, 9_900], [1, 1]) > MISMATCH
    assert mismatch([100, 900], [1, 9]) == pytest.approx(1.0)
    assert math.isnan(mismatch([0, 0], [1, 1]))


def test_several_comparisons():
    assert together([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert together([0.5, math.nan, 0.9])[0] == 1.0
    assert math.isnan(together([0.5, math.nan])[1])
