"""How often a gate is wrong, and whether it finds what is there: many made-up comparisons.

100 comparisons of a version with another training of itself, and hundreds for the rate itself.
"""

import numpy as np
import pytest
from scipy import stats

from podway.framework.config import Better, Gate, NotWorse
from podway.launch.gate import verdict
from podway.launch.gate.measured import Values
from tests.launch.gate.numbers_of_users import measured, ranked, versions

USERS = 600
METRICS = ["ndcg@10", "hr@10", "mrr@10", "ndcg@20", "hr@20"]
BETTER = Gate(rules=(Better("ndcg@10"),))
GATES = {
    "one better": BETTER,
    "better, and others not worse": Gate(
        rules=(Better("ndcg@10"), NotWorse("hr@20", 0.1), NotWorse("mrr@10", 0.1))
    ),
}


def promoted(gate: Gate, generator: np.random.Generator, better: float = 0.0) -> bool:
    values = ranked(*versions(generator, USERS, better), METRICS)
    return all(each.holds for each in verdict.findings(gate, measured(values)))


@pytest.mark.parametrize("name", GATES)
def test_of_100_versions_that_are_no_better_few_are_promoted(name):
    """No more than chance makes of the stated rate, once in a thousand such tests."""
    gate, generator = GATES[name], np.random.default_rng(11)
    wrong = sum(promoted(gate, generator) for _ in range(100))
    assert wrong <= stats.binom.ppf(0.999, 100, gate.error_rate)


def test_of_100_that_are_better_most_are_promoted():
    generator = np.random.default_rng(12)
    assert sum(promoted(BETTER, generator, 0.25) for _ in range(100)) >= 80
    assert sum(promoted(GATES["better, and others not worse"], generator, 0.25)
               for _ in range(100)) >= 80  # fmt: skip


def test_no_more_verdicts_than_stated_call_any_rule_shown_that_does_not_hold():
    """Five rules on metrics of the same users, none of which holds: the hardest case."""
    gate, generator = Gate(rules=tuple(map(Better, METRICS))), np.random.default_rng(13)
    trials, wrong, alone = 300, 0, 0
    for _ in range(trials):
        found = verdict.findings(gate, measured(ranked(*versions(generator, USERS), METRICS)))[1:]
        wrong += any(each.holds for each in found)
        alone += min(each.p for each in found) <= gate.error_rate * len(METRICS)
    most = stats.binom.ppf(0.999, trials, gate.error_rate)
    assert wrong <= most
    assert alone > most, "without Holm's steps there would be more"


@pytest.mark.parametrize("relative", [False, True])
def test_a_loss_that_is_just_the_margin_is_let_through_no_more_often_than_stated(relative):
    """Hits of the candidate are those of the champion but for some that are lost, and fewer won."""
    generator, margin, trials, share = np.random.default_rng(14), 0.1, 500, 0.3
    lost = margin if relative else margin / share
    champion = generator.random((trials, USERS)) < share
    kept = generator.random((trials, USERS)) >= 2 * lost
    won = generator.random((trials, USERS)) < share * lost / (1 - share)
    candidate = np.where(champion, kept, won)
    gate = Gate(rules=(NotWorse("hr@10", margin, relative),))
    passed = 0
    for hits, before in zip(candidate.astype(float), champion.astype(float), strict=True):
        values = {("hr@10", ""): Values(hits, before, shares=True)}
        passed += all(each.holds for each in verdict.findings(gate, measured(values)))
    assert passed <= stats.binom.ppf(0.999, trials, gate.error_rate)
    assert passed >= trials * gate.error_rate / 4, "nor is it so careful that it finds nothing"
