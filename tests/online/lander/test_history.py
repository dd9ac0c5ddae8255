"""Everything is killed at random moments, and nothing is lost, doubled or out of order."""

import pathlib

import pytest

from podway.framework.config import online
from tests.online.lander import history
from tests.online.queue.brokers import Broker, Kafka, Sqlite


def holds(broker: Broker, plan: history.Plan, folder: pathlib.Path) -> None:
    found = history.run(broker, plan, folder, online.Lander(seconds=0.2))
    print(found)
    assert (found.lost, found.doubled, found.out_of_order) == (0, 0, 0), found
    assert found.landed >= found.published == plan.messages
    assert sum(found.kills.values()) == plan.kills
    assert found.kills.get(history.BROKER, 0) == plan.broker_kills


@pytest.mark.parametrize(
    ("messages", "kills"),
    [(300, 6), pytest.param(3000, 30, marks=pytest.mark.slow)],
)
def test_nothing_is_lost_doubled_or_out_of_order(tmp_path, messages, kills):
    holds(Sqlite(tmp_path), history.Plan(messages, kills, seed=kills, spread=3600.0), tmp_path)


@pytest.mark.parametrize(
    ("messages", "kills", "of_the_broker"),
    [
        pytest.param(300, 6, 1, marks=pytest.mark.slow),
        pytest.param(10_000, 100, 10, marks=pytest.mark.extensive),
    ],
)
def test_nor_is_it_when_the_broker_is_killed(tmp_path, messages, kills, of_the_broker):
    broker = Kafka(tmp_path)
    broker.start()
    try:
        plan = history.Plan(messages, kills, of_the_broker, seed=kills, spread=3600.0)
        holds(broker, plan, tmp_path)
    finally:
        broker.kill()
