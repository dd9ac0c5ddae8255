import numpy as np
import pytest

from podway.launch.scaling import law

X = np.array([1e3, 3e3, 1e4, 3e4, 1e5])


def _law(sign: float) -> law.Law:
    return law.Law(sign, limit=0.4, gap=0.05, rate=0.5, unit=1e5)


@pytest.mark.parametrize("grows", [True, False])
def test_the_law_behind_exact_points_is_found(grows):
    truth = _law(1.0 if grows else -1.0)
    found = law.fit(X, truth.at(X), grows=grows)
    assert found is not None
    assert found.law.rate == pytest.approx(0.5, rel=0.05)
    assert found.law.limit == pytest.approx(0.4, abs=0.005)
    assert found.law.at(1e6) == pytest.approx(truth.at(1e6), abs=0.003)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    truth, covered = _law(1.0), 0
    x = np.repeat(X, 2)
    for seed in range(60):
        noise = np.random.default_rng(seed).normal(0, 0.004, len(x))
        found = law.fit(x, truth.at(x) + noise, grows=True, seed=seed)
        assert found is not None
        low, high = found.interval(np.array([2e5]))
        covered += low[0] <= truth.at(2e5) <= high[0]
    assert 48 <= covered <= 60


def test_what_does_not_get_better_has_no_gap():
    found = law.fit(X, np.array([0.5, 0.4, 0.3, 0.2, 0.1]), grows=True)
    assert found is not None
    assert found.law.gap == 0


def test_three_amounts_give_no_law():
    assert law.fit(np.array([1, 1, 2, 4.0]), np.array([1, 1, 2, 3.0]), grows=True) is None
