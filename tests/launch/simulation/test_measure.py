"""Intervals hold what they say."""

import numpy as np
import pytest

from podway.launch.simulation import measure
from podway.launch.simulation.measure import Visit


def visits(draw: np.random.Generator, tastes: np.ndarray, more: float = 0.0) -> list[Visit]:
    return [
        Visit(user, "", 1, bool(draw.random() < taste + more), 0.0)
        for user, taste in enumerate(tastes)
        for _ in range(int(draw.integers(1, 8)))
    ]


def test_the_interval_of_a_rate_holds_it_nineteen_times_in_twenty():
    draw, held = np.random.default_rng(0), 0
    for _ in range(400):
        tastes = draw.beta(1, 3, 150)
        found = measure.rate(visits(draw, tastes))
        held += found.low <= 0.25 <= found.high
    # 95 % of 400, and three standard deviations of the count around it.
    assert abs(held - 380) < 14


def test_a_difference_is_paired_by_user():
    draw, held = np.random.default_rng(1), 0
    for _ in range(400):
        tastes = draw.uniform(0, 0.8, 100)
        found = measure.difference(visits(draw, tastes), visits(draw, tastes, 0.1))
        held += found.low <= 0.1 <= found.high
    assert abs(held - 380) < 14


def test_nobody_is_no_number():
    assert np.isnan(measure.rate([]).value)
    assert np.isnan(measure.difference([], []).value)


def test_visits_of_one_user_are_not_many_users():
    found = measure.rate([Visit(n, "", 1, n % 2 == 0, 0.0) for n in range(20) for _ in range(50)])
    assert found.value == pytest.approx(0.5)
    assert (found.visits, found.users) == (1000, 20)
    assert found.high - found.low > 0.4
