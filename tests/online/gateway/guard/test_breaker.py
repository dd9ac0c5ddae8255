"""When a backend is left alone, by a clock that a test moves."""

import asyncio

import pytest

from podway.framework.config.online import Guard
from podway.online.gateway.guard.breaker import Breaker
from podway.online.gateway.guard.deadline import Deadline
from podway.online.gateway.guard.guarded import LEFT_ALONE, Guarded
from podway.online.servers.answer import Answer, ServerError

GUARD = Guard(failures=0.5, calls=4, window_seconds=2.0, open_seconds=1.0, hedge=0.0)


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        assert breaker.may()
        breaker.done(failed=True)


def test_it_opens_after_enough_failures_and_one_call_tries_it():
    clock = Clock()
    breaker = Breaker(GUARD, clock)
    fail(breaker, 3)
    assert breaker.state == "closed", "three calls are too few to judge by"
    fail(breaker, 1)
    assert breaker.state == "open"
    assert not breaker.may()
    clock.now += 1.0
    assert breaker.may(), "one tries"
    assert not breaker.may(), "and one alone"
    breaker.done(failed=True)
    assert not breaker.may()
    clock.now += 1.0
    assert breaker.may()
    breaker.done(failed=False)
    assert breaker.state == "closed"
    fail(breaker, 3)
    assert breaker.state == "closed", "what was before is forgotten"


def test_a_share_of_failures_below_the_limit_does_not_open_it():
    breaker = Breaker(GUARD, Clock())
    for _ in range(100):
        for failed in (False, False, True):
            assert breaker.may()
            breaker.done(failed=failed)


def test_failures_of_long_ago_do_not_count():
    clock = Clock()
    breaker = Breaker(GUARD, clock)
    for _ in range(10):
        fail(breaker, 1)
        clock.now += 1.1
    assert breaker.state == "closed"


def test_a_trial_that_never_ends_blocks_nobody_for_ever():
    clock = Clock()
    breaker = Breaker(GUARD, clock)
    fail(breaker, 4)
    clock.now += 1.0
    assert breaker.may()
    clock.now += 1.0
    assert breaker.may()


def test_calls_that_began_before_do_not_close_it():
    breaker = Breaker(GUARD, Clock())
    fail(breaker, 4)
    breaker.done(failed=False)
    assert breaker.state == "open"


class Server:
    def __init__(self):
        self.fails: dict[str, str] = {}
        self.asked: list[str] = []

    async def predict(self, model, inputs, *, label="", timeout=1.0, **how):
        self.asked.append(label)
        if label in self.fails:
            raise ServerError(self.fails[label], "on purpose")
        return Answer({"item": [["a"]]})


def ask(guarded: Guarded, label: str = "", timeout: float = 1.0) -> str:
    try:
        asyncio.run(guarded.predict("m", {}, label=label, timeout=timeout))
    except ServerError as error:
        return error.code
    return "OK"


def test_a_canary_that_fails_is_left_alone_and_the_stable_version_is_not():
    server = Server()
    server.fails["canary"] = "UNAVAILABLE"
    guarded = Guarded(server, GUARD, 1.0)
    assert [ask(guarded, "canary") for _ in range(5)] == ["UNAVAILABLE"] * 4 + [LEFT_ALONE]
    assert ask(guarded, "stable") == "OK"
    assert guarded.states() == {"m:canary": "open", "m:stable": "closed"}


@pytest.mark.parametrize(
    ("code", "timeout", "last"),
    [
        ("INVALID_ARGUMENT", 1.0, "INVALID_ARGUMENT"),
        ("DEADLINE_EXCEEDED", 0.2, "DEADLINE_EXCEEDED"),
        ("DEADLINE_EXCEEDED", 1.0, LEFT_ALONE),
    ],
)
def test_wrong_and_hasty_requests_say_nothing_of_the_server(code, timeout, last):
    """Else one caller with short deadlines would take the model from all others."""
    server = Server()
    server.fails[""] = code
    guarded = Guarded(server, GUARD, 1.0)
    assert [ask(guarded, timeout=timeout) for _ in range(20)][-1] == last


def test_a_hop_has_its_share_and_never_more_than_is_left():
    clock = Clock()
    deadline = Deadline(1.0, clock)
    assert deadline.hop(0.25) == pytest.approx(0.25)
    clock.now += 0.9
    assert deadline.hop(0.25) == pytest.approx(0.1)
    clock.now += 0.9
    assert deadline.hop(0.25) == deadline.left() == 0.0
