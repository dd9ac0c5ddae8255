import numpy as np
import pytest

from podway.framework.comparison import significance


def test_the_interval_of_students_own_kind_by_hand():
    # Mean 3, standard deviation √2.5, t(4, .975) = 2.7764: half width 2.7764 · √(2.5 / 5).
    found = significance.interval(np.array([1.0, 2, 3, 4, 5]))
    assert (found.mean, found.high - 3) == (3, pytest.approx(2.776445 * 0.5**0.5, rel=1e-6))
    assert found.low == pytest.approx(3 - 2.776445 * 0.5**0.5, rel=1e-6)


def test_a_paired_difference_agrees_with_a_test_of_random_signs():
    """By luck alone each user's difference could as well have been the other way round."""
    generator = np.random.default_rng(0)
    first = generator.random(200)
    second = first + generator.normal(0.02, 0.15, 200)
    found = significance.paired(first, second)
    each = second - first
    assert found.mean == pytest.approx(each.mean())
    assert found.low < each.mean() < found.high
    signs = generator.choice([-1, 1], (20_000, 200))
    by_luck = np.abs((signs * each).mean(1)) >= abs(each.mean())
    assert found.p == pytest.approx(by_luck.mean(), abs=0.015)
    assert (found.low > 0) == (found.p < 0.05)
    other = significance.paired(second, first)
    assert (other.mean, other.low, other.p) == pytest.approx((-found.mean, -found.high, found.p))


def test_the_test_holds_its_level():
    """Of models that are equally good, one in twenty pairs is called different."""
    generator = np.random.default_rng(1)
    calls = 0
    for _ in range(1000):
        hits = (generator.random((2, 300)) < 0.1).astype(float)
        calls += significance.paired(*hits).p < 0.05
    assert 30 <= calls <= 75


def test_equal_users_are_no_difference():
    same = np.array([0.0, 1, 0])
    assert significance.paired(same, same) == significance.Difference(0, 0, 0, 1)
    assert significance.paired(same, same + 1) == significance.Difference(1, 1, 1, 0)


def test_holms_adjustment_by_hand():
    assert significance.adjusted([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert significance.adjusted([0.5, 0.9]) == [1, 1]
    assert significance.adjusted([0.2]) == [0.2]
