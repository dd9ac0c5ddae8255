"""The page of a verdict."""

import pathlib

from podway.framework.page import table as tables
from podway.framework.page import templates, whisker
from podway.launch.gate import text
from podway.launch.gate.finding import Finding, Verdict

_HERE = pathlib.Path(__file__).parent
_STYLE = {"passed": "", "failed": "bad", "not judged": "bad", "skipped": "warn"}


def of(verdict: Verdict) -> str:
    """The page as HTML."""
    state = "passed" if verdict.passed else "not passed"
    return templates.render(
        "gate.html.j2",
        _HERE,
        title=f"Gate of {verdict.model} {verdict.version}: {state}",
        about=text.heading(verdict),
        conclusion=text.conclusion(verdict),
        passed=verdict.passed,
        table=tables.Table(
            ("", "", *text.HEAD[2:-1]), [_row(finding) for finding in verdict.findings]
        ),
        reasons=[(finding.rule, finding.reason) for finding in verdict.findings],
        figures=[
            whisker.whiskers(finding.rule, [_whisker(finding)], zero=True, words=_words(finding))
            for finding in verdict.findings
            if finding.low is not None and finding.difference is not None
        ],
    )


def _row(finding: Finding) -> list[tables.Cell]:
    style = _STYLE[finding.outcome]
    outcome, rule, *numbers, _ = text.row(finding)
    return [tables.Cell(rule), tables.Cell(outcome, style), *tables.cells(numbers)]


def _whisker(finding: Finding) -> whisker.Whisker:
    return whisker.Whisker(
        finding.outcome,
        finding.difference,
        finding.low,
        finding.high,
        text.row(finding)[4],
        finding.reason,
        colour=0 if finding.holds else 1,
    )


def _words(finding: Finding) -> str:
    return "less the champion's" + (", in percent of it" if finding.unit == "%" else "")
