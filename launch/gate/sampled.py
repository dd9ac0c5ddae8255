"""The rules that rest on a sample of users: better, not worse, within. Pure.

The burden of proof is the version's: what is not shown does not hold.
"""

import dataclasses

import numpy as np

from podway.framework.config import Better, Gate, NotWorse, Within
from podway.launch.gate import evidence, wording
from podway.launch.gate.finding import Finding
from podway.launch.gate.measured import (
    Measured,
    Point,
    Unmeasured,
    Values,
    called,
    larger_is_better,
)

Sampled = Better | NotWorse | Within


def finding(rule: Sampled, measured: Measured, gate: Gate) -> Finding:
    """What a rule says by itself: `p` is its own, and a rule that has one is passed if that is
    small enough beside the others' (verdict.py)."""
    metric = rule.metric or measured.selection
    empty = Finding(wording.of(rule, measured.selection), "not judged", "")
    absent = Unmeasured(f"there is no {called(metric, rule.slice)} in the evaluation")
    found = measured.values.get((metric, rule.slice), absent)
    if isinstance(found, Unmeasured) and found.wrong:
        return dataclasses.replace(empty, reason=found.reason, wrong=True)
    if not isinstance(rule, Within) and not measured.champion:
        return dataclasses.replace(
            empty, outcome="skipped", reason="there is no champion to hold it against"
        )
    match found:
        case Unmeasured():
            return dataclasses.replace(empty, reason=found.reason)
        case Point():
            return _of_point(rule, metric, found, empty)
        case Values():
            return _of_values(rule, metric, found, gate, empty)


def _of_point(rule: Sampled, metric: str, point: Point, empty: Finding) -> Finding:
    """A metric without an interval, which can only be held against bounds."""
    if not np.isfinite(point.candidate):
        return _not_a_number(metric, empty)
    empty = dataclasses.replace(empty, candidate=point.candidate)
    if not isinstance(rule, Within):
        return dataclasses.replace(
            empty,
            reason=f"{metric} has no interval, so no difference of it can be shown; give it bounds"
            " (Within)",
            wrong=True,
        )
    outside = [f"not above {rule.low:g}"] if _below(point.candidate, rule.low) else []
    outside += [f"not below {rule.high:g}"] if _above(point.candidate, rule.high) else []
    return dataclasses.replace(
        empty,
        outcome="failed" if outside else "passed",
        reason=f"it is {point.candidate:.4g}"
        + (
            f", {' and '.join(outside)}" if outside else ", within, as measured: it has no interval"
        ),
    )


def _below(value: float, low: float | None) -> bool:
    return low is not None and not value > low


def _above(value: float, high: float | None) -> bool:
    return high is not None and not value < high


def _of_values(rule: Sampled, metric: str, values: Values, gate: Gate, empty: Finding) -> Finding:
    users = len(values.candidate)
    empty = dataclasses.replace(empty, users=users)
    if users < gate.least_users:
        return dataclasses.replace(
            empty,
            reason=f"{users} test users are too few, with fewer than gate.least_users ="
            f" {gate.least_users}; leave the rule out, or evaluate on more",
        )
    candidate = float(values.candidate.mean())
    if not np.isfinite(candidate):
        return _not_a_number(metric, empty)
    empty = dataclasses.replace(empty, candidate=candidate)
    if isinstance(rule, Within):
        return _within(rule, values, gate, empty)
    assert values.champion is not None
    champion = float(values.champion.mean())
    if not np.isfinite(champion):
        return dataclasses.replace(
            empty, reason=f"the champion's {metric} is not a number, so nothing is held against it"
        )
    empty = dataclasses.replace(empty, champion=champion)
    larger = larger_is_better(metric)
    if larger is None:
        return dataclasses.replace(
            empty,
            reason=f"of {metric} neither more nor less is better; give it bounds (Within)",
            wrong=True,
        )
    if rule.relative and not champion > 0:
        return dataclasses.replace(
            empty,
            reason=f"the champion's {metric} is {champion:.4g}, of which no share can be taken;"
            " give a rule with relative=False",
        )
    return _compared(rule, values, gate, empty, larger=larger)


def _compared(
    rule: Better | NotWorse, values: Values, gate: Gate, empty: Finding, *, larger: bool
) -> Finding:
    """Better than by a gain, or by less than nothing: not worse than by a margin.

    With s the sign of what is better and g the gain, that s·(candidate − champion) is above g, or
    above g·champion: a mean of per-user numbers, so the t-test is one of the same users.
    """
    gain = rule.by if isinstance(rule, Better) else -rule.margin
    assert values.champion is not None
    sign = 1.0 if larger else -1.0
    scale = float(values.champion.mean()) if rule.relative else 1.0
    ahead = sign * (values.candidate - values.champion)
    tested = ahead - gain * (values.champion if rule.relative else 1.0)
    least = -1.0 - gain if values.shares else None
    found = evidence.above_zero(tested, gate.error_rate, least)
    assert found is not None
    between = sorted(sign * (bound / scale + gain) for bound in (found.low, found.high))
    times = 100.0 if rule.relative else 1.0
    return dataclasses.replace(
        empty,
        outcome="failed",
        difference=times * sign * (found.mean / scale + gain),
        low=times * between[0],
        high=times * between[1],
        p=found.p,
        unit="%" if rule.relative else "",
    )


def _within(rule: Within, values: Values, gate: Gate, empty: Finding) -> Finding:
    """Above one bound and below the other; both must be shown, so the larger p counts."""
    bounds, each = (rule.low, rule.high), values.candidate
    found = []
    for bound, sign in zip(bounds, (1.0, -1.0), strict=True):
        if bound is not None:
            nearest = 0.0 if sign > 0 else 1.0
            least = sign * (nearest - bound) if values.shares else None
            found.append(evidence.above_zero(sign * (each - bound), gate.error_rate, least))
    p = max(one.p for one in found if one is not None)
    around = evidence.above_zero(each, gate.error_rate)
    assert around is not None
    return dataclasses.replace(empty, outcome="failed", low=around.low, high=around.high, p=p)


def _not_a_number(metric: str, empty: Finding) -> Finding:
    return dataclasses.replace(
        empty,
        outcome="failed",
        candidate=float("nan"),
        reason=f"{metric} is not a number; see `invalid_…` in the evaluation's table",
    )
