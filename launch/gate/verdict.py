"""All rules together: what was measured → findings. Pure.

A version passes when every rule holds, so of one rule alone the error rate would be that of all
(an intersection-union test: Berger 1982). The p-values are raised by Holm's method all the same:
then the single findings may be read together, too, and no more than `error_rate` of all verdicts
call anything shown that is not so.
"""

import dataclasses

from podway.framework.comparison import significance
from podway.framework.config import Better, DataCheck, Gate, Latency, NotWorse, Size, Within
from podway.framework.error import check
from podway.launch.gate import budget, sampled
from podway.launch.gate.finding import Finding
from podway.launch.gate.measured import Measured

_FINITE = "all answers are finite numbers"
_EVEN = 0.5
"""A p-value from which on what was measured speaks against what is to be shown."""


def findings(gate: Gate, measured: Measured) -> tuple[Finding, ...]:
    """What each rule says, behind what is asked of every version. Raises ConfigError."""
    alone = [_finite(measured), *(_alone(rule, gate, measured) for rule in gate.rules)]
    sample = [at for at, each in enumerate(alone) if each.p is not None]
    raised = significance.adjusted([alone[at].p or 0.0 for at in sample])
    for at, p in zip(sample, raised, strict=True):
        alone[at] = _decided(alone[at], p, gate.error_rate)
    return tuple(alone)


def _alone(rule: object, gate: Gate, measured: Measured) -> Finding:
    match rule:
        case Better() | NotWorse() | Within():
            return sampled.finding(rule, measured, gate)
        case Latency() | Size() | DataCheck():
            return budget.finding(rule, measured)
    check(
        False,
        f"gate.rules has a {type(rule).__name__}; give a Better, NotWorse, Within, Latency, Size"
        " or DataCheck",
    )
    raise AssertionError


def _finite(measured: Measured) -> Finding:
    """What no version may do, whatever the rules: answer with what is no number."""
    if measured.invalid > 0 or measured.invalid != measured.invalid:
        reason = f"of {100 * measured.invalid:.2g} % of the test examples some are not"
        return Finding(_FINITE, "failed", reason)
    return Finding(_FINITE, "passed", f"of {measured.examples:,} test examples")


def _decided(finding: Finding, p: float, error_rate: float) -> Finding:
    """A rule that rests on a sample, given its p over all of these."""
    alone = 1.0 if finding.p is None else finding.p
    users = f"{finding.users:,} users"
    if p <= error_rate:
        return dataclasses.replace(
            finding, outcome="passed", p=p, reason=f"shown by {users}, p {p:.2g}"
        )
    if alone >= _EVEN:
        reason = f"it is not so for these {users}"
    elif alone > error_rate:
        reason = f"{users} do not show it: p {alone:.2g}, above {error_rate:g}"
    else:
        reason = f"not shown beside the other rules: p {p:.2g} over all, above {error_rate:g}"
    return dataclasses.replace(finding, outcome="failed", p=p, reason=reason)
