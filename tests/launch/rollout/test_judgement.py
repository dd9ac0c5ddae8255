"""The evidence: its rate of false returns, what it finds and how soon."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podway.framework.config import Rollout
from podway.launch.rollout import evidence, judgement
from podway.launch.rollout.evidence import Block, Evidence
from podway.online.rollout import split
from podway.online.rollout.observation import Observation, Tally
from tests.launch.rollout.world import Version, blocks, until_return

STRICT = Rollout(
    error_margin=0.0,
    slow_margin=0.0,
    empty_margin=0.0,
    score_margin=0.0,
    value_margin=0.0,
    false_return=0.05,
)
"""Two versions that are alike lie on the edge of what is allowed, where errors are most likely."""
ROLLOUTS = 100


def test_versions_that_are_alike_go_back_no_more_often_than_is_said():
    found = [until_return(seed, STRICT, Version(), Version(), 40)[0] for seed in range(ROLLOUTS)]
    assert sum(each is not None for each in found) <= STRICT.false_return * ROLLOUTS


def test_the_same_looks_at_a_test_of_fixed_size_would_send_back_far_more():
    """So that the test above is known to be one: the usual z-test, looked at in every block."""
    wrong = 0
    for seed in range(ROLLOUTS):
        sums = np.zeros(4)
        for one, other in itertools.islice(blocks(seed, Version(), Version(), 40), 1, None):
            sums += (one.values, one.worth, other.values, other.worth)
            mean = (sums[1] + sums[3]) / (sums[0] + sums[2])
            gap = sums[1] / sums[0] - sums[3] / sums[2]
            if gap > 1.645 * math.sqrt(mean * (1 - mean) * (1 / sums[0] + 1 / sums[2])):
                wrong += 1
                break
    assert wrong > 3 * STRICT.false_return * ROLLOUTS


@pytest.mark.parametrize(
    ("new", "worst", "soon"),
    [
        (Version(failed=1.0), "failed", 2),
        (Version(failed=0.2), "failed", 4),
        (Version(failed=0.05), "failed", 45),
        (Version(seconds=0.2), "slow", 4),
        (Version(seconds=0.04), "slow", 12),
        (Version(empty=1.0), "empty", 2),
        (Version(empty=0.2), "empty", 8),
        (Version(score=30.0), "scores", 6),
        (Version(score=-1.0), "scores", 8),
        (Version(value=0.0), "value", 8),
        (Version(value=0.15), "value", 40),
    ],
)
def test_what_is_worse_is_found_soon_and_by_its_name(new, worst, soon):
    """Of 40 requests a block; in seven of eight rollouts."""
    found = [until_return(seed, Rollout(), Version(), new, 60) for seed in range(8)]
    delays = sorted(math.inf if block is None else block for block, _ in found)
    assert delays[6] <= soon, delays
    assert [seen.worst for _, seen in found].count(worst) >= 7


@pytest.mark.parametrize("new", [Version(value=0.6), Version(seconds=0.01), Version(score=3.4)])
def test_what_is_better_or_within_the_margin_stays(new):
    assert [until_return(seed, Rollout(), Version(), new, 40)[0] for seed in range(8)] == [None] * 8


def test_what_is_not_watched_sends_nobody_back():
    plan = Rollout(slow_margin=None, empty_margin=None, score_margin=None, value_margin=None)
    bad = Version(seconds=1.0, empty=1.0, score=-9.0, value=0.0)
    assert until_return(0, plan, Version(), bad, 40)[0] is None


def test_scores_that_are_missing_are_a_change_of_scores():
    seen = judgement.begin(Rollout())
    for one, other in blocks(0, Version(), Version(), 30):
        other.scores.clear()
        seen = judgement.fold(Rollout(), seen, one, other, "canary 0")
    assert judgement.is_worse(Rollout(), seen)
    assert seen.worst == "scores"


shares = st.floats(0.001, 0.95)


@given(shares, shares, st.floats(0.01, 0.99), st.sampled_from([0.0, 0.01, 0.3]))
@settings(deadline=None, max_examples=300)
def test_the_nearest_point_is_the_nearest(first, gap, weight, margin):
    second = first + margin + gap * (1 - first - margin)
    if not first + margin < second < 1 - 1e-5:
        return
    near = evidence.nearest(first, second, weight, margin)
    assert first <= near <= second - margin

    def divergence(at):
        parts = ((1 - weight, first, at), (weight, second, at + margin))
        return sum(
            w * (q * math.log(q / p) + (1 - q) * math.log((1 - q) / (1 - p))) for w, q, p in parts
        )

    least = min(divergence(at) for at in np.linspace(first, second - margin, 400)[1:-1])
    assert divergence(near) <= least + 1e-9


@given(
    shares,
    shares,
    st.integers(1, 6),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.05, 0.3]),
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=3),
)
@settings(deadline=None, max_examples=200)
def test_the_expected_evidence_of_a_block_is_at_most_one_where_nothing_is_worse(
    first, part, ones, others, margin, before
):
    """By all outcomes of a block, whatever came before: what the bound rests on."""
    known = Evidence(margin)
    for bad, worse in before:
        known = evidence.fold(known, Block(20, bad, 20, worse))
    second = part * min(1.0, first + margin)
    expected = 0.0
    for bad, worse in itertools.product(range(ones + 1), range(others + 1)):
        chance = math.comb(ones, bad) * first**bad * (1 - first) ** (ones - bad)
        chance *= math.comb(others, worse) * second**worse * (1 - second) ** (others - worse)
        after = evidence.fold(known, Block(ones, bad, others, worse))
        expected += chance * math.exp(after.log - known.log)
    assert expected <= 1 + 1e-6


def test_a_block_of_one_version_alone_is_no_evidence():
    for block in (Block(100, 0, 0, 0), Block(0, 0, 100, 100)):
        assert evidence.fold(Evidence(0.0), block).log == 0


def test_what_is_remembered_is_what_was():
    _, seen = until_return(0, Rollout(), Version(), Version(), 5)
    again, offsets = judgement.parse(judgement.text(seen, {"a.jsonl": 7}))
    assert (again, offsets) == (seen, {"a.jsonl": 7})
    assert json.loads(judgement.text(seen, {}))["offsets"] == {}


def test_requests_are_counted_by_share():
    some = Tally()
    some.add(Observation("canary", 0.1))
    seen = judgement.begin(Rollout())
    for stage, count in (("canary 0", 1), ("canary 0", 2), ("canary 1", 1)):
        seen = judgement.fold(Rollout(), seen, some, some, stage)
        assert (seen.requests, seen.compared) == (count, count)
    assert seen.new.requests == 3


@pytest.mark.parametrize(("repeats", "wrong"), [(False, False), (True, True)])
def test_a_few_users_who_ask_all_day_are_no_evidence(repeats, wrong):
    """Users stay with a version. Some ask a hundred times as often, and get nothing each time."""
    count, returned = 60, 0
    for seed in range(count):
        random = np.random.default_rng(seed)
        heavy = np.arange(2000) < 10
        is_new = np.array([split.place(str(user), f"{seed}") < 0.2 for user in range(2000)])
        weight = np.where(heavy, 100.0, 1.0)
        known, seen = Evidence(0.0), np.zeros(2000, bool)
        for _ in range(40):
            users = random.choice(2000, 200, p=weight / weight.sum())
            if not repeats:
                users = np.unique(users)
                users = users[~seen[users]]
                seen[users] = True
            empty = heavy[users] | (random.random(len(users)) < 0.02)
            new = is_new[users]
            block = Block((~new).sum(), empty[~new].sum(), new.sum(), empty[new].sum())
            known = evidence.fold(known, block)
            if known.log >= -math.log(0.05):
                returned += 1
                break
    assert (returned > 3 * 0.05 * count) == wrong, returned
