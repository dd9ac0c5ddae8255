"""The lines of a plan that say what a launch will take."""

import pytest

from podway.launch.prices.price import Price
from podway.launch.targets.estimate import Estimate


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (1e-6, "< 0.01 USD for these steps; 4.80 USD an hour"),
        (7.6e-2, "0.01 USD for these steps"),
        (1800.0, "240.00 USD for these steps"),
        (0.0, "0.00 USD for these steps"),
        (None, "4.80 USD an hour for 4 chips"),
    ],
)
def test_a_price_that_rounds_to_nothing_is_not_nothing(seconds, said):
    price = Price("chip_hour", "v5e", "us-central1", "spot", 1.2, "USD", "a page", "2026-01-01")
    found = Estimate(True, seconds, 100, 4, price)
    (line,) = [each for each in found.lines() if each.startswith("price")]
    assert line.startswith(f"price      {said}")
