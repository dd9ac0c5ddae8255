"""A verdict for a terminal: a row for each rule, and why."""

from podway.framework.page.text import number
from podway.launch.gate.finding import Finding, Verdict


def of(verdict: Verdict) -> str:
    """The table, and below it the verdict with its reasons."""
    from podway.framework.comparison.evaluation import aligned  # needs JAX

    rows = [list(HEAD), *(row(finding) for finding in verdict.findings)]
    return "\n".join([heading(verdict), "", aligned(rows), "", conclusion(verdict)])


HEAD = ("", "rule", "candidate", "champion", "difference", "interval", "p", "why")


def heading(verdict: Verdict) -> str:
    """What was held against what, and by what."""
    against = "no champion" if verdict.champion is None else f"champion {verdict.champion}"
    label = f" (label {verdict.label})" if verdict.label else ""
    return (
        f"{verdict.model} {verdict.version} against {against}{label}: {verdict.examples:,} test"
        f" examples of dataset {verdict.dataset}, by {verdict.by}"
    )


def conclusion(verdict: Verdict) -> str:
    """Passed or not, why, and how far that is to be trusted."""
    sampled = [finding for finding in verdict.findings if finding.p is not None]
    trust = (
        f" Intervals are of {100 * (1 - 2 * verdict.error_rate):g} %; p is over the"
        f" {len(sampled)} rules that rest on a sample: at most {100 * verdict.error_rate:g} % of"
        " verdicts call any of them shown that does not hold."
        if sampled
        else ""
    )
    if verdict.passed:
        return f"PASSED: {verdict.model} {verdict.version} may serve.{trust}"
    return f"NOT PASSED: {reasons(verdict)}.{trust}"


def reasons(verdict: Verdict) -> str:
    """What stands against a version, in one sentence."""
    against = [f"{finding.rule}: {finding.reason}" for finding in verdict.against]
    return "; ".join(against) or "no rule could be judged"


def row(finding: Finding) -> list[str]:
    """A finding as the cells of a table."""
    unit = finding.unit
    return [
        finding.outcome if finding.holds else finding.outcome.upper(),
        finding.rule,
        _value(finding.candidate, "" if unit == "%" else unit),
        _value(finding.champion, "" if unit == "%" else unit),
        _difference(finding),
        _interval(finding),
        "" if finding.p is None else f"{finding.p:.2g}",
        finding.reason,
    ]


def _value(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{number(value)}{f' {unit}' if unit else ''}"


def _difference(finding: Finding) -> str:
    if finding.difference is None:
        return "–"
    if finding.unit in ("ms", "MB"):
        return f"× {finding.difference:.3g}"
    return _signed(finding.difference, finding.unit)


def _interval(finding: Finding) -> str:
    if finding.low is None or finding.high is None:
        return "–"
    if finding.difference is None:
        return f"[{number(finding.low)}, {number(finding.high)}]"
    return f"[{_signed(finding.low)}, {_signed(finding.high, finding.unit)}]"


def _signed(value: float, unit: str = "") -> str:
    shown = f"{value:+.2f} %" if unit == "%" else f"{value:+.4g}"
    return shown if unit else f"{value:+.4g}"
