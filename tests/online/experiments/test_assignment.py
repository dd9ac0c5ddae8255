"""Who is in which arm."""

import collections

import pytest

from podway.framework.config.online import Arm, Gateway, Rules, Trial
from podway.framework.error import ConfigError
from podway.online.experiments.assignment import assigned, rules_of

USERS = [f"user {number}" for number in range(20_000)]
A, B = Arm("a"), Arm("b")


def counts(*trials: Trial) -> collections.Counter:
    return collections.Counter(tuple(sorted(assigned(trials, user).arms.items())) for user in USERS)


def test_arms_get_their_weights():
    found = counts(Trial("t", (Arm("a", 3.0), Arm("b", 1.0)), share=0.5))
    assert found[(("t", "a"),)] == pytest.approx(7500, abs=300)
    assert found[(("t", "b"),)] == pytest.approx(2500, abs=200)
    assert found[()] == pytest.approx(10_000, abs=300)


def test_trials_of_one_layer_have_no_user_in_common():
    found = counts(
        Trial("t", (A, B), share=0.4, layer="ranking"),
        Trial("v", (A, B), share=0.6, layer="ranking"),
    )
    assert all(len(arms) == 1 for arms in found), "together they have all users, each one"
    assert sum(n for arms, n in found.items() if arms[0][0] == "t") == pytest.approx(8000, abs=300)


def test_other_layers_are_independent():
    found = counts(Trial("t", (A, B)), Trial("v", (A, B)))
    assert len(found) == 4
    assert all(n == pytest.approx(5000, abs=250) for n in found.values())


def test_a_user_stays_when_a_trial_is_added_behind():
    one = Trial("t", (A, B), share=0.4, layer="l")
    both = (one, Trial("v", (A, B), share=0.5, layer="l"))
    for user in USERS[:2000]:
        before = assigned((one,), user).arms
        assert before == {k: v for k, v in assigned(both, user).arms.items() if k == "t"}


def test_what_arms_change_is_taken_together():
    rules = Rules(seen=False)
    trials = (
        Trial("t", (A, Arm("b", model="other"))),
        Trial("v", (A, Arm("b", rules=rules))),
    )
    for user in USERS[:200]:
        found = assigned(trials, user)
        changed = (found.arms["t"] == "b", found.arms["v"] == "b")
        if changed == (False, False):
            assert found.arm is None
        else:
            assert found.arm is not None
            assert (found.arm.model == "other", found.arm.rules == rules) == changed
        assert rules_of(found, Rules()) == (rules if changed[1] else Rules())


def test_who_has_no_name_is_part_of_no_trial():
    assert not assigned((Trial("t", (A, B)),), "").arms


@pytest.mark.parametrize(
    ("trials", "said"),
    [
        ((Trial("t", (A, B)), Trial("t", (A, B))), "gateway.trials has t 2 times"),
        (
            (Trial("t", (A, B), 0.6, "l"), Trial("v", (A, B), 0.6, "l")),
            "the trials of the layer l ask for 1.2 of the users",
        ),
        (
            (
                Trial("t", (A, Arm("b", model="x"))),
                Trial("v", (A, Arm("b", model="y"))),
            ),
            "trials of the layers t, v change model for the same users",
        ),
    ],
)
def test_trials_that_cannot_run_together(trials, said):
    with pytest.raises(ConfigError, match=said):
        Gateway(trials=trials)


def test_a_trial_alone_that_cannot_be():
    with pytest.raises(ConfigError, match="arms of the trial t are a; give two or more"):
        Trial("t", (A,))
    with pytest.raises(ConfigError, match="share of the trial t is nan"):
        Trial("t", (A, B), share=float("nan"))
    with pytest.raises(ConfigError, match="weight of the arm a is 0"):
        Arm("a", weight=0)
