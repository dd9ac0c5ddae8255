"""The verdict: each rule by itself, and all of them together."""
# pyright: reportOptionalOperand=false, reportOptionalMemberAccess=false, reportOperatorIssue=false
# (what a rule over users finds is there)

import dataclasses
import json

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import stats

from podway.beam.check.findings import Finding as DataFinding
from podway.beam.check.findings import Report
from podway.framework import codec
from podway.framework.config import (
    Better,
    DataCheck,
    Gate,
    Latency,
    Limits,
    NotWorse,
    Rule,
    Size,
    Within,
)
from podway.framework.error import ConfigError
from podway.launch.gate import finding, text, verdict
from podway.launch.gate.finding import Verdict
from podway.launch.gate.measured import Point, Timings, Unmeasured, Values
from podway.launch.gate.sampled import Sampled
from tests.launch.gate.numbers_of_users import measured

NDCG = "ndcg@10", ""
USERS = 400


def drawn(ahead: float, spread: float = 0.1, users: int = USERS) -> Values:
    """A champion around ½, and a candidate that is so much ahead of it."""
    generator = np.random.default_rng(5)
    champion = generator.uniform(0.3, 0.7, users)
    noise = generator.normal(0, spread, users)
    return Values(champion + ahead + noise - noise.mean(), champion)


def judged(rules, values=None, *, least_users: int = 30, **known) -> Verdict:
    gate = Gate(rules=tuple(rules), least_users=least_users)
    found = verdict.findings(gate, measured(values or {}, **known))
    champion = 1 if known.get("champion", True) else None
    return Verdict("shop", 2, champion, "", "d", USERS, "made up", gate.error_rate, found)


def outcomes(rules, values=None, **known) -> list[str]:
    return [each.outcome for each in judged(rules, values, **known).findings[1:]]


@pytest.mark.parametrize(
    ("rule", "ahead", "outcome"),
    [
        (Better(), 0.02, "passed"),
        (Better(), 0.0, "failed"),
        (Better(), -0.02, "failed"),
        (Better(by=0.01), 0.03, "passed"),
        (Better(by=0.01), 0.012, "failed"),
        (Better(by=0.02, relative=True), 0.03, "passed"),
        (Better(by=0.02, relative=True), 0.012, "failed"),
        (NotWorse(margin=0.05, relative=False), -0.02, "passed"),
        (NotWorse(margin=0.05, relative=False), -0.048, "failed"),
        (NotWorse(margin=0.05, relative=False), -0.08, "failed"),
        (NotWorse(margin=0.1), -0.02, "passed"),
        (NotWorse(margin=0.1), -0.048, "failed"),
        (Within(low=0.45), 0.0, "passed"),
        (Within(low=0.5), 0.0, "failed"),
        (Within(high=0.55), 0.0, "passed"),
        (Within(low=0.45, high=0.5), 0.0, "failed"),
        (Within(low=0.45, high=0.55), 0.0, "passed"),
    ],
)
def test_a_rule_over_users_holds_where_it_is_shown(rule, ahead, outcome):
    assert outcomes([rule], {NDCG: drawn(ahead)}) == [outcome]


@pytest.mark.parametrize("metric", ["click/logloss", "click/ece", "stars/rmse"])
def test_of_losses_less_is_better(metric):
    up, down = ({(metric, ""): drawn(ahead)} for ahead in (0.03, -0.03))
    assert outcomes([Better(metric)], up) == ["failed"]
    assert outcomes([Better(metric)], down) == ["passed"]
    assert outcomes([NotWorse(metric, 0.02)], up) == ["failed"]
    assert outcomes([NotWorse(metric, 0.1)], up) == ["passed"]
    worse = judged([NotWorse(metric, 0.1)], up).findings[1]
    assert worse.difference == pytest.approx(100 * 0.03 / drawn(0).champion.mean(), rel=1e-6)
    assert worse.low < worse.difference < worse.high < 10


def test_the_interval_tells_the_outcome_of_a_rule_that_stands_alone():
    """Its end that matters is on the right side exactly where the rule is shown."""
    for ahead in np.linspace(-0.06, 0.02, 41):
        values = {NDCG: drawn(float(ahead))}
        absolute = judged([NotWorse(margin=0.02, relative=False)], values).findings[1]
        assert (absolute.low > -0.02) == absolute.holds
        relative = judged([NotWorse(margin=0.05)], values).findings[1]
        assert (relative.low > -5) == relative.holds
        better = judged([Better()], values).findings[1]
        assert (better.low > 0) == better.holds


def test_a_slice_is_judged_by_itself():
    values = {NDCG: drawn(0.05), ("ndcg@10", "target tail"): drawn(-0.05, users=60)}
    rules = [Better(), NotWorse(slice="target tail", margin=0.05)]
    found = judged(rules, values)
    assert [each.outcome for each in found.findings[1:]] == ["passed", "failed"]
    assert not found.passed
    assert "ndcg@10 [target tail] not worse by 5 %" in text.reasons(found)


def test_what_is_not_a_number_never_passes():
    nan, values = float("nan"), drawn(0.1)
    broken = Values(np.where(np.arange(USERS) == 7, nan, values.candidate), values.champion)
    rules = [Better(), NotWorse(), Within(low=-10), Within("coverage@10", low=0.0)]
    for champion_too in (False, True):
        given = broken if not champion_too else Values(values.candidate, broken.candidate)
        found = outcomes(rules, {NDCG: given, ("coverage@10", ""): Point(nan)})
        assert found[:2] == ["not judged" if champion_too else "failed"] * 2
        assert found[2:] == ["passed" if champion_too else "failed", "failed"]
    assert not judged([NotWorse()], {NDCG: drawn(0.0)}, invalid=0.001).passed
    assert not judged([NotWorse()], {NDCG: drawn(0.0)}, invalid=nan).passed
    timings = {1: Timings(np.full((5, 3), nan), np.full((5, 3), 0.1))}
    assert outcomes([Latency(ratio=9)], timings=timings) == ["failed"]


@pytest.mark.parametrize("users", [0, 1, 29])
def test_few_users_show_nothing(users):
    """Nor does an empty slice pass in silence."""
    few = {NDCG: drawn(0.3, 0.001, users)} if users else {}
    found = judged([NotWorse(), Within(low=0)], few)
    assert [each.outcome for each in found.findings[1:]] == ["not judged"] * 2
    assert not found.passed
    assert all(each.reason for each in found.against)


def test_nothing_differs_because_nothing_was_seen():
    """No hit by either among 40 users: a loss of 5 % of the users may well have been missed."""
    zeros = np.zeros(40)
    rules = [NotWorse(margin=0.05, relative=False), NotWorse(margin=0.1, relative=False)]
    for rule, p in zip(rules, (0.95**40, 0.9**40), strict=True):
        (found,) = judged([rule], {NDCG: Values(zeros, zeros, shares=True)}).findings[1:]
        assert found.p == pytest.approx(p)
        assert found.holds == (p <= 0.05)
    share = judged([NotWorse(margin=0.1)], {NDCG: Values(zeros, zeros, shares=True)})
    assert share.findings[1].outcome == "not judged", "there is no share of nothing"
    assert outcomes([Better()], {NDCG: Values(zeros, zeros, shares=True)}) == ["failed"]


def test_a_metric_that_is_best_nowhere_is_held_against_bounds():
    values = {("click/calibration", ""): drawn(0.0), ("coverage@10", ""): Point(0.4)}
    assert outcomes([NotWorse("click/calibration"), NotWorse("coverage@10")], values) == [
        "not judged",
        "not judged",
    ]
    rules = [Within("coverage@10", low=0.4), Within("coverage@10", low=0.3, high=0.5)]
    assert outcomes(rules, values) == ["failed", "passed"]


def test_without_a_champion_the_absolute_rules_alone_are_judged():
    rules = [Better(), NotWorse(), Within(low=0.4), Latency(ratio=1.1), Size(ratio=1.1)]
    rules += [Latency(milliseconds=5), Latency(milliseconds=5, ratio=2), DataCheck()]
    known = {
        "champion": False,
        "timings": {1: Timings(np.full((5, 10), 0.004))},
        "bytes": (1000, None),
        "checked": {DataCheck(): Unmeasured("no champion")},
    }
    values = {NDCG: Values(drawn(0.0).candidate)}
    found = judged(rules, values, **known)
    assert [each.outcome for each in found.findings[1:]] == [
        *("skipped", "skipped", "passed", "skipped", "skipped", "passed", "passed", "skipped")
    ]
    assert found.passed
    assert not judged([*rules, Within(low=0.6)], values, **known).passed
    assert judged([Better()], values, **known).passed, "its answers are numbers, and there is none"


def test_budgets_are_held_against_the_champion_of_the_same_round():
    """A machine that is slow for a round is so for both."""
    generator = np.random.default_rng(0)
    calls = generator.uniform(0.9, 1.0, (5, 200)) * 1e-3
    calls[2] *= 50
    timings = {1: Timings(1.5 * calls[:, ::-1], calls), 8: Unmeasured("too many rows")}
    rules = [
        Latency(ratio=1.6),
        Latency(ratio=1.4),
        Latency(percentile=50, milliseconds=1.5),
        Latency(percentile=50, milliseconds=1.3),
        Latency(batch_size=8, milliseconds=9),
        Latency(batch_size=2, milliseconds=9),
    ]
    found = judged(rules, timings=timings)
    assert [each.outcome for each in found.findings[1:]] == [
        *("passed", "failed", "passed", "failed", "not judged", "not judged")
    ]
    assert found.findings[2].difference == pytest.approx(1.5)
    sizes = [Size(ratio=1.1), Size(ratio=1.3), Size(megabytes=1), Size(megabytes=2)]
    assert outcomes(sizes, bytes=(1_200_000, 1_000_000)) == ["failed", "passed", "failed", "passed"]


def test_a_data_check_fails_by_errors_and_if_wanted_by_warnings():
    def found(*severities) -> Report:
        drift = "price", "test", "drift", "less", "more", ""
        return Report("d", "c", "", 3, tuple(DataFinding(one, *drift) for one in severities))

    strict = DataCheck(warnings=True)
    assert outcomes([DataCheck()], checked={DataCheck(): found()}) == ["passed"]
    assert outcomes([DataCheck()], checked={DataCheck(): found("warning")}) == ["passed"]
    assert outcomes([strict], checked={strict: found("warning")}) == ["failed"]
    bad = judged([DataCheck()], checked={DataCheck(): found("error")})
    assert "drift of price in test: more, expected less" in text.reasons(bad)
    assert outcomes([DataCheck()], checked={DataCheck(): Unmeasured("gone")}) == ["not judged"]


def test_rules_are_raised_together():
    """What is shown by itself is not, beside four others that are as near."""
    near = drawn(0.0092)
    alone = judged([Better()], {NDCG: near}).findings[1]
    assert 0.03 < alone.p < 0.05
    assert alone.holds
    names = [f"ndcg@{k}" for k in (10, 20, 30)]
    five = judged([Better(name) for name in names], {(name, ""): near for name in names})
    assert [each.p for each in five.findings[1:]] == pytest.approx([3 * alone.p] * 3)
    assert not five.passed
    assert "not shown beside the other rules" in five.findings[1].reason


def slowly(rules: list[Sampled], values: dict[tuple[str, str], Values], rate: float) -> list[bool]:
    """Which rules hold, by SciPy's own one-sided test and Holm's steps as he wrote them."""
    raw = []
    for rule in rules:
        given = values[rule.metric, ""]
        match rule:
            case Within():
                above, below = rule.low, rule.high
                tested = [given.candidate - above] if above is not None else []
                tested += [below - given.candidate] if below is not None else []
            case Better() | NotWorse():
                sign = -1 if "loss" in rule.metric else 1
                gain = rule.by if isinstance(rule, Better) else -rule.margin
                unit = given.champion if rule.relative else 1.0
                tested = [sign * (given.candidate - given.champion) - gain * unit]
        tests = [stats.ttest_1samp(each, 0, alternative="greater") for each in tested]
        raw.append(max(float(p) for _, p in tests))
    left, held = dict(enumerate(raw)), [False] * len(raw)
    while left:
        at = min(left, key=lambda each: left[each])
        if left[at] > rate / len(left):
            break
        held[at] = True
        del left[at]
    return held


METRICS = ("ndcg@10", "hr@10", "click/logloss")
SHARES = st.floats(0.001, 0.2)
RULES = st.one_of(
    st.builds(Better, st.sampled_from(METRICS), SHARES, st.booleans()),
    st.builds(NotWorse, st.sampled_from(METRICS), SHARES, st.booleans()),
    st.builds(Within, st.sampled_from(METRICS), st.floats(0.3, 0.49), st.floats(0.51, 0.8)),
    st.builds(Within, st.sampled_from(METRICS), st.floats(0.3, 0.8)),
)


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(
    st.lists(RULES, min_size=1, max_size=6, unique=True),
    st.integers(2, 60),
    st.floats(-0.1, 0.1),
    st.floats(0.001, 0.3),
    st.floats(0.001, 0.3),
    st.integers(0, 1000),
)
def test_the_verdict_is_that_of_a_slow_and_obvious_one(rules, users, ahead, spread, rate, seed):
    generator = np.random.default_rng(seed)
    values = {}
    for metric in METRICS:
        champion = generator.uniform(0.2, 0.8, users)
        candidate = champion + ahead + generator.normal(0, spread, users)
        values[metric, ""] = Values(candidate, champion)
    gate = Gate(rules=tuple(rules), error_rate=rate, least_users=2)
    found = verdict.findings(gate, measured(values))
    assert [each.holds for each in found[1:]] == slowly(rules, values, rate)


def test_a_verdict_is_read_back_as_it_was_written():
    made = judged([Better(), Within("mrr@10", low=0)], {NDCG: drawn(0.1)})
    assert finding.from_json(json.loads(codec.json_text(made.to_json()))) == made
    with pytest.raises(ConfigError, match="verdict"):
        finding.from_json(made.to_json() | {"findings": 3})


def test_a_rule_that_cannot_be_is_refused():
    for wrong, said in (
        (lambda: NotWorse(margin=0), "margin of NotWorse is 0; give more than 0"),
        (lambda: Better(by=-1), "by of Better is -1; give 0 or more"),
        (lambda: Better(by=float("nan")), "by of Better is nan"),
        (lambda: Within("hr@10"), "Within has no limit; give low or high"),
        (lambda: Within("hr@10", 0.3, 0.2), "give a low below the high"),
        (lambda: Latency(), "Latency has no limit; give milliseconds or ratio"),
        (lambda: Latency(0, ratio=1), "batch_size 0; give 1 or more"),
        (lambda: Latency(percentile=101, ratio=1), "percentile 101"),
        (lambda: Size(ratio=float("inf")), "ratio of Size is inf; give a number"),
        (lambda: DataCheck(against_champion=False), "nothing to check against"),
        (lambda: Gate(rules=(Better(), Better())), "twice; leave one out"),
        (lambda: Gate(rules=(Rule(),)), "gate.rules has a Rule; give a Better"),
        (lambda: Gate(error_rate=0.5), "gate.error_rate is 0.5"),
        (lambda: Gate(least_users=1), "gate.least_users is 1; give 2 or more"),
    ):
        with pytest.raises(ConfigError, match=said):
            wrong()

    @dataclasses.dataclass(frozen=True)
    class Own(Rule):
        pass

    with pytest.raises(ConfigError, match=r"gate\.rules has a Own"):
        judged([Own()])


def test_the_table_says_why():
    rules = [Better(), NotWorse(margin=0.05), Within(low=0.4), Latency(ratio=1.1)]
    timings = {1: Timings(np.full((5, 3), 0.003), np.full((5, 3), 0.002))}
    found = judged(rules, {NDCG: drawn(0.001)}, timings=timings)
    said = text.of(found)
    (better,) = (each for each in said.splitlines() if each.startswith("FAILED  ndcg@10 better"))
    assert "it is not so" not in said
    assert "400 users do not show it: p 0.42, above 0.05" in better
    assert "[-" in better
    assert "3 ms, 1.5 times the champion's, above 1.1" in said
    assert said.splitlines()[0].startswith("shop 2 against champion 1: 400 test examples")
    assert "NOT PASSED: ndcg@10 better: 400 users do not show it" in said


def test_a_gate_with_every_rule_is_read_back_as_it_was_written():
    """Runs and versions keep it as JSON."""
    slices = NotWorse("hr@10", slice="target tail"), Within("click/calibration", 0.9, 1.1)
    check = DataCheck(limits=Limits(psi=0.3, rows=5))
    gate = Gate(rules=(Better(by=0.1), *slices, Latency(ratio=1.2), Size(megabytes=9.5), check))
    assert codec.from_json(Gate, json.loads(codec.json_text(codec.to_json(gate)))) == gate
