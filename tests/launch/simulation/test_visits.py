"""Visits of simulated users, to a recommender that knows them and to one that does not."""

import asyncio
import collections

from podway.launch.simulation import measure
from podway.launch.simulation.visits import Shown, Visits
from podway.launch.simulation.world import World

WORLD = World(users=40, genres=4, items=12, new=4)


def visited(ask, tell=None, seconds: float = 1.0, changed: bool = False) -> tuple[Visits, list]:
    events: list = []

    async def keep(more):
        events.extend(more)

    async def run() -> Visits:
        visits = Visits(WORLD, ask, tell or keep, rate=400)
        visits.changed, stop = changed, asyncio.Event()
        asyncio.get_running_loop().call_later(seconds, stop.set)
        await visits.run(stop)
        return visits

    return asyncio.run(run()), events


def test_who_knows_them_is_taken_more_often():
    async def knows(user):
        genre = WORLD.genre(int(user[1:]), True)
        return Shown(tuple(reversed(WORLD.names(genre, True)))[:8], 1)

    async def knows_not(user):
        return Shown(tuple(WORLD.names(0, True)[:8]), 1)

    good, _ = visited(knows, changed=True)
    bad, _ = visited(knows_not, changed=True)
    assert measure.rate(good.seen).low > measure.rate(bad.seen).high


def test_what_they_do_is_told_once_each_and_again_when_it_was_not_kept():
    refused, events = [0], []

    async def answers(user):
        return Shown(("g0-00",), 3)

    async def forgets(more):
        refused[0] += 1
        if refused[0] % 3 == 0:
            raise ConnectionError("the queue is down")
        events.extend(more)

    visits, _ = visited(answers, forgets, seconds=0.2)
    assert sorted(visits.told) == sorted(event.id for event in events)
    assert max(collections.Counter(event.id for event in events).values()) == 1
    assert len(visits.seen) <= len(events) <= 2 * len(visits.seen)


def test_a_visit_without_an_answer_is_counted(capsys):
    async def fails(user):
        raise TimeoutError("nobody answers")

    visits, events = visited(fails, seconds=0.05)
    assert visits.failed > 0
    assert not visits.seen
    assert not events
    assert "nobody answers" in capsys.readouterr().out


def test_the_past_is_in_order_and_of_everybody():
    visits = Visits(WORLD, ask=None, tell=None, rate=1)
    past = visits.past(1.7e9, days=7, events=5)
    assert [event.time for event in past] == sorted(event.time for event in past)
    assert set(collections.Counter(event.user for event in past).values()) == {5}
    assert all(1.7e9 - 7 * 86_400 <= event.time < 1.7e9 for event in past)
