"""Metrics of rollouts and of continuous training, from the files that these write."""

import datetime

import pytest
from etils import epath

from podway.framework.config import Rollout
from podway.launch.loop import record
from podway.launch.loop.record import Aside, Cycle
from podway.launch.monitor import loop, observe, rollout
from podway.launch.monitor.alerts import catalogue
from podway.launch.monitor.observe import Subject
from podway.online.rollout import state as states
from podway.online.rollout import store

THEN = "2026-01-02T03:04:05.000+00:00"


def told(samples) -> dict:
    return {(each.metric, *each.values[1:]): each.value for each in samples}


@pytest.fixture
def home(tmp_path) -> epath.Path:
    made = epath.Path(tmp_path) / "models" / "shop"
    made.mkdir(parents=True)
    return made


def test_a_rollout_is_told_in_each_phase(tmp_path, home):
    assert rollout.samples(epath.Path(tmp_path), "shop") == []
    state = states.begin("shop", 4, 3, Rollout(), THEN)
    seen = []
    while True:
        store.change(home, state)
        found = told(rollout.samples(epath.Path(tmp_path), "shop"))
        on = [key[1] for key, value in found.items() if key[0] is catalogue.ROLLOUT_PHASE and value]
        assert on == [state.phase]
        assert found[catalogue.ROLLOUT_SHARE,] == state.share
        assert found[catalogue.ROLLOUT_VERSION, "new"] == 4
        assert found[catalogue.ROLLOUT_VERSION, "good"] == 3
        then = datetime.datetime.fromisoformat(THEN).timestamp()
        assert found[catalogue.ROLLOUT_SINCE,] == then
        seen += on
        if state.is_over:
            break
        state = states.forward(state, THEN)
    assert seen[-2:] == ["promoting", "stable"]
    store.change(home, states.back(states.begin("shop", 5, 4, Rollout(), THEN), "slow", THEN))
    found = told(rollout.samples(epath.Path(tmp_path), "shop"))
    assert found[catalogue.ROLLOUT_PHASE, "returning"] == 1


def test_a_state_that_is_none_costs_its_own_part(tmp_path, home):
    (home / store.STATE).write_text("{")
    found = told(observe.observe(Subject("shop", "", epath.Path(tmp_path))))
    assert found[catalogue.MONITOR_PROBLEM, "rollout"] == 1
    assert found[catalogue.MONITOR_PROBLEM, "loop"] == 0


def cycle(number: int, outcome: str = "") -> Cycle:
    made = Cycle(number, THEN, "new files", ("a.csv",))
    return made.over(outcome, "because") if outcome else made  # type: ignore[arg-type]


def test_cycles_are_counted_by_outcome(tmp_path):
    workdir = epath.Path(tmp_path)
    assert loop.samples(workdir, "shop") == []
    home = record.folder("shop", workdir)
    for number, outcome in enumerate(("served", "stopped", "served", "stopped", ""), 1):
        record.write(home, cycle(number, outcome))
    record.set_aside(home, (Aside("b.csv", ("b", 1), 2, "too many rejected"),))
    found = told(loop.samples(workdir, "shop"))
    counts = {key[1]: value for key, value in found.items() if key[0] is catalogue.LOOP_CYCLES}
    assert counts == {"served": 2, "stopped": 2, "unchanged": 0, "under way": 1}
    assert found[catalogue.LOOP_LAST, "stopped"] == 1
    assert found[catalogue.LOOP_LAST, "served"] == 0
    assert found[catalogue.LOOP_ASIDE,] == 1
    age = datetime.datetime.now(datetime.UTC).timestamp() - found[catalogue.LOOP_ENDED, "served"]
    assert 0 <= age < 600
    assert (catalogue.LOOP_ENDED, "unchanged") not in found
