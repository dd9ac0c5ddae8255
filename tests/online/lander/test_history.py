"""Everything is killed at random moments, and nothing is lost, doubled or out of order."""

import pytest

from podway.framework.config import online
from tests.online.lander import history
from tests.online.queue.brokers import Sqlite


@pytest.mark.parametrize(
    ("messages", "kills"),
    [(300, 6), pytest.param(3000, 30, marks=pytest.mark.slow)],
)
def test_nothing_is_lost_doubled_or_out_of_order(tmp_path, messages, kills):
    plan = history.Plan(messages, kills, seed=kills, spread=3600.0)
    found = history.run(Sqlite(tmp_path), plan, tmp_path, online.Lander(seconds=0.2))
    assert (found.lost, found.doubled, found.out_of_order) == (0, 0, 0), found
    assert found.landed >= found.published == messages
    assert sum(found.kills.values()) == kills
