"""Second calls: when, how many, and which answer counts."""

import asyncio
import random

import pytest

from podway.framework.config.online import Guard
from podway.online.gateway.guard.hedge import Hedge
from podway.online.servers.answer import ServerError


def warmed(guard: Guard, seconds: float = 0.001) -> Hedge:
    hedge = Hedge(guard)
    for _ in range(200):
        hedge.took(seconds)
    return hedge


def test_the_quantile_is_followed():
    chance, hedge = random.Random(1), Hedge(Guard(hedge=0.05, hedge_quantile=0.95))
    times = [chance.expovariate(100) for _ in range(20_000)]
    for each in times:
        hedge.took(each)
    after = hedge.after()
    assert after is not None
    assert sum(each > after for each in times) / len(times) == pytest.approx(0.05, abs=0.02)
    for _ in range(4000):  # the server has become ten times as slow
        hedge.took(chance.expovariate(10))
    assert (hedge.after() or 0.0) == pytest.approx(0.3, abs=0.12)


def test_nothing_is_hedged_before_it_is_known_what_is_long():
    hedge = Hedge(Guard())
    for _ in range(49):
        hedge.took(0.001)
    assert hedge.after() is None


def test_the_second_answer_counts_where_the_first_hangs():
    hedge, calls, cancelled = warmed(Guard(hedge=0.1)), [], []

    async def call():
        calls.append(len(calls))
        if len(calls) == 1:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.append(True)
                raise
        return len(calls)

    async def run():
        found = await hedge.ask(call)
        await asyncio.sleep(0)
        return found

    assert asyncio.run(run()) == 2
    assert (hedge.asked, hedge.won, cancelled) == (1, 1, [True])


def test_where_everything_is_slow_few_are_asked_twice():
    hedge, calls = warmed(Guard(hedge=0.05)), []

    async def call():
        calls.append(1)
        await asyncio.sleep(0.01)

    async def run():
        for _ in range(100):
            await hedge.ask(call)

    asyncio.run(run())
    assert len(calls) <= 100 + 10 + 5 + 1, "the share, and what was saved up"
    assert len(calls) - 100 <= hedge.asked <= 16, "some are over before they begin"


def test_a_failure_waits_for_the_other_call_and_both_failing_is_a_failure():
    hedge, calls = warmed(Guard(hedge=1.0)), []

    async def first_fails():
        calls.append(1)
        mine = len(calls)
        await asyncio.sleep(0.02 if mine == 1 else 0.04)
        if mine == 1:
            raise ServerError("UNAVAILABLE", "on purpose")
        return mine

    assert asyncio.run(hedge.ask(first_fails)) == 2

    async def all_fail():
        await asyncio.sleep(0.02)
        raise ServerError("UNAVAILABLE", "on purpose")

    with pytest.raises(ServerError, match="UNAVAILABLE"):
        asyncio.run(hedge.ask(all_fail))
