"""A client of a rollout, before servers that fail on purpose."""

import asyncio
import contextlib
import math

import pytest

from podway.framework.config import Rollout
from podway.framework.error import ConfigError
from podway.online.rollout import client, observation, spool, state, store
from podway.online.rollout.client import Options
from podway.online.servers.answer import Answer, ServerError

QUICK = Options(refresh=0.01)
USERS = [f"user {number}" for number in range(400)]


class Servers:
    """Answers with what a label stands for, and fails where it is told to."""

    def __init__(self, **fails):
        self.fails = fails
        self.asked = []
        self.open = asyncio.Event()
        self.open.set()

    async def predict(self, model, inputs, *, signature="", label="", version=None, timeout=10.0):
        self.asked.append(label)
        await asyncio.sleep(0)
        how = self.fails.get(label, "")
        if how == "hang":
            await self.open.wait()
        if how == "error":
            raise ServerError("UNAVAILABLE", "on purpose")
        item = "" if how == "empty" else label or "none"
        score = math.nan if how == "nan" else 1.0
        return Answer(
            {"item": [[item, ""]], "score": [[score, 0.5]]}, 4 if label == "canary" else 3
        )


def at(home, phase, **plan):
    """Lets a rollout stand at a phase."""
    now = state.now()
    current = state.begin("m", 4, 3, Rollout(**plan), now)
    store.change(home, current)
    while current.phase != phase:
        current = state.forward(current, now)
        store.change(home, current)
    return current


def tallies(home, rollout):
    return spool.read(store.observations(home, rollout.rollout), {}).tallies


async def ask(home, servers, options=QUICK, users=USERS):
    async with client.opened(home, servers, options) as asking:
        return [await asking.predict(user, {"history": [["a"]]}) for user in users]


def test_without_a_rollout_no_label_is_named_and_nothing_kept(tmp_path):
    servers = Servers()
    given = asyncio.run(ask(tmp_path, servers))
    assert set(servers.asked) == {""}
    assert {(each.arm, each.rollout) for each in given} == {("stable", "")}
    assert not list(tmp_path.iterdir())


def test_after_a_rollout_the_label_stable_is_named(tmp_path):
    servers = Servers()
    at(tmp_path, "stable")
    asyncio.run(ask(tmp_path, servers))
    assert set(servers.asked) == {"stable"}


def test_a_canary_answers_its_share_and_all_is_seen(tmp_path):
    rollout, servers = at(tmp_path, "canary", shares=(0.25,)), Servers()
    given = asyncio.run(ask(tmp_path, servers))
    mine = [each for each in given if each.arm == "canary"]
    assert 60 < len(mine) < 140
    assert {each.outputs["item"][0][0] for each in mine} == {"canary"}
    assert {each.version for each in mine} == {4}
    seen = tallies(tmp_path, rollout)
    assert (seen["canary"].requests, seen["stable"].requests) == (len(mine), 400 - len(mine))
    assert not seen["canary"].failed


@pytest.mark.parametrize(("how", "code"), [("error", "UNAVAILABLE"), ("nan", "NOT_FINITE")])
def test_what_the_new_version_fails_is_asked_of_the_old_one_and_counts(tmp_path, how, code):
    rollout, servers = at(tmp_path, "canary", shares=(0.25,)), Servers(canary=how)
    given = asyncio.run(ask(tmp_path, servers))
    assert {(each.arm, each.outputs["item"][0][0]) for each in given} == {("stable", "stable")}
    seen = tallies(tmp_path, rollout)
    assert seen["canary"].failures == {code: seen["canary"].requests}
    assert seen["canary"].requests > 60
    assert seen["stable"].requests == 400 - seen["canary"].requests, "asked again is no evidence"


def test_without_again_users_of_the_canary_alone_see_failures(tmp_path):
    at(tmp_path, "canary", shares=(0.25,))
    failed = 0

    async def run():
        nonlocal failed
        options = Options(refresh=0.01, again=False)
        async with client.opened(tmp_path, Servers(canary="error"), options) as asking:
            for user in USERS:
                with contextlib.suppress(ServerError):
                    await asking.predict(user, {})
                    continue
                failed += 1

    asyncio.run(run())
    assert 60 < failed < 140


def test_the_old_version_failing_is_a_failure(tmp_path):
    at(tmp_path, "canary", shares=(0.25,))
    with pytest.raises(ServerError, match="UNAVAILABLE"):
        asyncio.run(ask(tmp_path, Servers(stable="error")))


def test_copies_are_not_waited_for_and_end_somewhere(tmp_path):
    rollout, servers = at(tmp_path, "shadow", shadow=1.0), Servers(canary="hang")

    async def run():
        options = Options(refresh=0.01, copies=50)
        async with client.opened(tmp_path, servers, options) as asking:
            given = [await asking.predict(user, {}) for user in USERS]
            assert {each.arm for each in given} == {"stable"}
            servers.open.set()
        return given

    servers.open.clear()
    asyncio.run(run())
    assert servers.asked.count("canary") == 50, "more would be a load without end"
    seen = tallies(tmp_path, rollout)
    assert (seen["stable"].requests, seen["shadow"].requests) == (400, 50)


def test_a_key_is_evidence_once(tmp_path):
    rollout, servers = at(tmp_path, "canary", shares=(0.25,)), Servers()
    asyncio.run(ask(tmp_path, servers, users=USERS[:10] * 20))
    whole = observation.total(tallies(tmp_path, rollout).values())
    assert (whole.requests, whole.repeats) == (10, 190)


def test_an_answer_that_holds_nothing(tmp_path):
    rollout, servers = at(tmp_path, "canary", shares=(0.25,)), Servers(canary="empty")
    asyncio.run(ask(tmp_path, servers))
    seen = tallies(tmp_path, rollout)
    assert seen["canary"].empty == seen["canary"].requests
    assert not seen["stable"].empty


def test_values_are_kept_as_part_of_the_most(tmp_path):
    rollout = at(tmp_path, "canary", shares=(0.25,), value_most=4.0)

    async def run():
        async with client.opened(tmp_path, Servers(), QUICK) as asking:
            for user in USERS:
                asking.value(await asking.predict(user, {}), 1.0)
            asking.value(await asking.predict("x", {}), 9.0)
            for wrong in (math.nan, -1.0, math.inf):
                with pytest.raises(ConfigError, match="the value of an answer is"):
                    asking.value(await asking.predict("x", {}), wrong)

    asyncio.run(run())
    whole = observation.total(tallies(tmp_path, rollout).values())
    assert (whole.values, whole.worth) == (401, 101.0)


def test_a_change_is_seen_behind_the_requests_and_a_broken_file_changes_nothing(tmp_path, caplog):
    current = at(tmp_path, "canary", shares=(0.25,))

    async def run():
        async with client.opened(tmp_path, Servers(), QUICK) as asking:
            assert asking.split.share == 0.25
            whole = (tmp_path / store.STATE).read_text()
            (tmp_path / store.STATE).write_text("{")
            await asyncio.sleep(0.1)
            assert asking.split.share == 0.25
            (tmp_path / store.STATE).write_text(whole)
            store.change(tmp_path, state.back(current, "worse", state.now()))
            for _ in range(100):
                await asyncio.sleep(0.02)
                if not asking.split.share:
                    break
            assert asking.split.share == 0

    asyncio.run(run())
    assert caplog.text.count("requests are split as before") == 1
