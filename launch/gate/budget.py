"""The rules that are measured on the published files and on the dataset: budgets, checks. Pure."""

import dataclasses
import math

import numpy as np

from podway.framework.config import DataCheck, Latency, Size
from podway.launch.gate import wording
from podway.launch.gate.finding import Finding, Unit
from podway.launch.gate.measured import Measured, Unmeasured

_MEGABYTE = 1e6
_SHOWN = 3
"""Findings of a data check that a reason names."""


def finding(rule: Latency | Size | DataCheck, measured: Measured) -> Finding:
    """What a budget or a check says."""
    empty = Finding(wording.of(rule, measured.selection), "not judged", "")
    match rule:
        case Latency():
            return _latency(rule, measured, empty)
        case Size():
            candidate, champion = measured.bytes
            own = None if champion is None else champion / _MEGABYTE
            ratio = None if not champion else candidate / champion
            return _held(empty, candidate / _MEGABYTE, own, ratio, "MB", rule.megabytes, rule.ratio)
        case DataCheck():
            return _checked(rule, measured, empty)


def _latency(rule: Latency, measured: Measured, empty: Finding) -> Finding:
    """The median over rounds, which a noisy one does not move; ratios are of the same round."""
    timings = measured.timings.get(rule.batch_size, Unmeasured("it was not timed"))
    if isinstance(timings, Unmeasured):
        return dataclasses.replace(empty, reason=timings.reason)
    candidate = _percentile(timings.candidate, rule.percentile)
    champion = ratio = None
    if timings.champion is not None:
        each = _percentile(timings.champion, rule.percentile)
        champion, ratio = 1e3 * float(np.median(each)), float(np.median(candidate / each))
    own = 1e3 * float(np.median(candidate))
    return _held(empty, own, champion, ratio, "ms", rule.milliseconds, rule.ratio)


def _percentile(seconds: np.ndarray, percentile: float) -> np.ndarray:
    """Of each round's calls, one that was measured, [rounds]."""
    return np.percentile(seconds, percentile, axis=1, method="higher")


def _held(
    empty: Finding,
    candidate: float,
    champion: float | None,
    ratio: float | None,
    unit: Unit,
    most: float | None,
    most_ratio: float | None,
) -> Finding:
    """A measured quantity held against its limits; what is no number is above any."""
    found = dataclasses.replace(
        empty, candidate=candidate, champion=champion, difference=ratio, unit=unit
    )
    numbers = [each for each in (candidate, champion, ratio) if each is not None]
    if not all(map(math.isfinite, numbers)):
        return dataclasses.replace(found, outcome="failed", reason="it is not a number")
    over = [f"above {most:g} {unit}"] if most is not None and not candidate <= most else []
    if most_ratio is not None and ratio is not None and not ratio <= most_ratio:
        over.append(f"{ratio:.3g} times the champion's, above {most_ratio:g}")
    if most is None and ratio is None:
        return dataclasses.replace(
            found, outcome="skipped", reason="there is no champion to hold it against"
        )
    return dataclasses.replace(
        found,
        outcome="failed" if over else "passed",
        reason=f"it is {candidate:.3g} {unit}" + (f", {' and '.join(over)}" if over else ""),
    )


def _checked(rule: DataCheck, measured: Measured, empty: Finding) -> Finding:
    report = measured.checked.get(rule, Unmeasured("it was not checked"))
    if isinstance(report, Unmeasured):
        if not measured.champion and not rule.schema:
            return dataclasses.replace(
                empty, outcome="skipped", reason="there is no champion to hold it against"
            )
        return dataclasses.replace(empty, reason=report.reason)
    wrong = [each for each in report.findings if each.severity == "error" or rule.warnings]
    told = [
        f"{each.check} of {each.feature or 'the dataset'}"
        f"{f' in {each.split}' if each.split else ''}: {each.found}, expected {each.expected}"
        for each in wrong[:_SHOWN]
    ]
    told += [f"and {len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else []
    unjudged = sum(map(len, report.unjudged.values()))
    few = f"; {unjudged} features have too few rows for a verdict on drift" if unjudged else ""
    return dataclasses.replace(
        empty,
        outcome="failed" if wrong else "passed",
        reason=("; ".join(told) or f"{report.checked} features are as they should be") + few,
    )
