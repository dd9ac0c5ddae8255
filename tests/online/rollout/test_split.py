"""Who gets which version."""

import collections
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podway.framework.config import Rollout
from podway.online.rollout import split, state
from podway.online.rollout.split import Split

KEYS = [f"user {number}" for number in range(20_000)]


@given(st.text(), st.text(max_size=40), st.floats(0, 1), st.floats(0, 1))
@settings(deadline=None)
def test_a_share_that_grows_leaves_nobody_behind(key, rollout, one, other):
    small, large = sorted((one, other))
    if Split(rollout, 1, 2, small).arm(key) == "canary":
        assert Split(rollout, 1, 2, large).arm(key) == "canary"
    assert Split(rollout, 1, 2, 0.0).arm(key) == "stable"
    assert Split(rollout, 1, 2, 1.0).arm(key) == "canary"


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_a_share_is_that_of_the_keys(share):
    found = sum(Split("4-a", 3, 4, share).arm(key) == "canary" for key in KEYS)
    assert abs(found - share * len(KEYS)) < 4 * math.sqrt(len(KEYS) * share * (1 - share))


def test_another_rollout_takes_other_users():
    """Or the same would try all that is new; and copies are not of canary's users alone."""
    one, other = (Split(name, 3, 4, 0.1, 0.1) for name in ("4-a", "5-b"))
    both = sum(one.arm(key) == other.arm(key) == "canary" for key in KEYS)
    assert abs(both - 0.01 * len(KEYS)) < 80
    copied = sum(one.arm(key) == "canary" and one.is_copied(key) for key in KEYS)
    assert abs(copied - 0.01 * len(KEYS)) < 80


def test_places_are_those_of_every_process_and_release():
    """A client of another version of Podway must agree: these are part of the format."""
    assert split.place("user", "4-a") == 0.6619168732909709


def test_what_a_state_asks_for():
    now = state.now()
    first = state.begin("m", 4, 3, Rollout(shadow=0.5, shares=(0.2,), value_most=9), now)
    assert split.of(None) == Split()
    assert split.of(first) == Split(first.rollout, 3, 4, 0.0, 0.0, 9)
    shadow = state.forward(first, now)
    assert split.of(shadow) == Split(first.rollout, 3, 4, 0.0, 0.5, 9)
    canary = state.forward(shadow, now)
    assert split.of(canary) == Split(first.rollout, 3, 4, 0.2, 0.0, 9)
    assert split.of(state.back(canary, "x", now)).share == 0
    ended = collections.Counter()
    for end in (state.forward(state.forward(canary, now), now),):
        ended[split.of(end).stable] += 1
    assert ended == {4: 1}
    assert split.of(state.forward(state.back(canary, "x", now), now)).stable == 3
