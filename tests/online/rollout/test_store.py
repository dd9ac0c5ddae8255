"""Where a rollout stands: a kill at any write leaves the old state or the new one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podway.framework.config import Rollout
from podway.online.error import OnlineError
from podway.online.rollout import state as states
from podway.online.rollout import store
from tests.online.rollout.kills import killed

NOW = "2026-11-30T09:00:00.000+00:00"
PLAN = Rollout(shadow=0.1, shares=(0.05, 0.5))


def walk(moves: list[bool]) -> list[states.State]:
    """The states of a rollout that goes forward (True) or back at each step."""
    found = [states.begin("m", 4, 3, PLAN, NOW)]
    for forward in moves:
        last = found[-1]
        if last.is_over:
            break
        if forward or last.phase == "returning":
            found.append(states.forward(last, NOW))
        else:
            found.append(states.back(last, "worse", NOW))
    return found


@given(st.lists(st.booleans(), max_size=12))
@settings(deadline=None)
def test_every_rollout_keeps_its_order(moves):
    found = walk(moves)
    assert [each.number for each in found] == list(range(len(found)))
    assert len({each.rollout for each in found}) == 1
    shares = [each.share for each in found if each.phase in ("canary", "promoting")]
    assert shares == sorted(shares)
    for each in found:
        assert states.parse(states.text(each), "here") == each
        assert each.share == 0 or each.phase in ("canary", "promoting")
        assert (each.evidence != "") == (each.phase in ("returning", "returned"))
    if found[-1].is_over:
        with pytest.raises(ValueError, match="nothing"):
            states.forward(found[-1], NOW)
        with pytest.raises(ValueError, match="nothing"):
            states.back(found[-1], "", NOW)


def test_the_whole_way_is_loading_shadow_canary_promoting_stable():
    assert [(each.phase, each.share, each.shadow) for each in walk([True] * 9)] == [
        ("loading", 0, 0),
        ("shadow", 0, 0.1),
        ("canary", 0.05, 0),
        ("canary", 0.5, 0),
        ("promoting", 0.5, 0),
        ("stable", 0, 0),
    ]


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_kill_at_any_write_leaves_the_old_or_the_new(tmp_path, steps):
    before = tmp_path / "before"
    before.mkdir()
    *old, new = walk([True] * steps)
    for each in old:
        store.change(before, each)
    homes = killed(before, tmp_path / "killed", lambda home: store.change(home, new))
    found = []
    for home in homes:
        at, history = store.read(home), list(store.history(home))
        assert (at, history) in [(old[-1] if old else None, old), (new, [*old, new])]
        found.append(at)
        if at != new:
            store.change(home, new)
        assert list(store.history(home)) == [*old, new], "again, after the kill"
    assert (found[0], found[-1]) == (old[-1] if old else None, new)
    assert len(found) >= 4, "writes were not counted"


def test_another_rollout_goes_on_in_the_same_history(tmp_path):
    one, other = walk([False, True]), walk([])
    for each in (*one, *other):
        store.change(tmp_path, each)
    assert store.history(tmp_path) == (*one, *other)


def test_what_is_no_state_is_named(tmp_path):
    for each in walk([True]):
        store.change(tmp_path, each)
    (tmp_path / store.HISTORY).write_text((tmp_path / store.HISTORY).read_text() + "{}\n")
    with pytest.raises(OnlineError, match=r"rollouts\.jsonl, line 3 is no state of a rollout"):
        store.history(tmp_path)
    text = (tmp_path / store.STATE).read_text()
    (tmp_path / store.STATE).write_text(text.replace('"format": 1', '"format": 2'))
    with pytest.raises(OnlineError, match="has the format 2, and this Podway reads 1"):
        store.read(tmp_path)
    (tmp_path / store.STATE).write_text(text.replace('"shadow": 0.1, "shares"', '"shares"'))
    now = store.read(tmp_path)
    assert now is not None
    assert now.plan.shadow == 0, "a field that came later has its default"
    (tmp_path / store.STATE).write_text(text[: len(text) // 2])
    with pytest.raises(OnlineError, match=r"rollout\.json is no state of a rollout"):
        store.read(tmp_path)
