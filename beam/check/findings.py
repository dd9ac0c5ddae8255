"""What a check of a dataset found, for people and for programs."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

Severity = Literal["error", "warning"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
      severity: an error fails the check.
      feature: whose; "" for the dataset as a whole.
      split: where; "" for all.
      check: what was looked at, in a word or two.
      expected: what would be right.
      found: what is there instead.
      remedy: what can be done.
      excess: how many times as much as is allowed; the worst findings are shown first.
    """

    severity: Severity
    feature: str
    split: str
    check: str
    expected: str
    found: str
    remedy: str
    excess: float = 1.0


@dataclasses.dataclass(frozen=True)
class Report:
    """A check of a dataset.

    Attributes:
      dataset: what was checked.
      against: the earlier dataset, or "".
      schema: the file that declares what is right, or "".
      checked: number of features.
      findings: the worst first.
      unjudged: split → features that have too few rows for a verdict.
      rows: how many there must be.
    """

    dataset: str
    against: str
    schema: str
    checked: int
    findings: tuple[Finding, ...]
    unjudged: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    rows: int = 0

    @property
    def errors(self) -> int:
        """Findings that fail the check."""
        return sum(finding.severity == "error" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        told = dataclasses.asdict(self)
        for finding in told["findings"]:
            del finding["excess"]  # may be infinite; the order says as much
        return {"passed": not self.errors, **told}

    def text(self) -> str:
        """The report for a terminal."""
        warnings = len(self.findings) - self.errors
        counted = f"{_count(self.errors, 'error')}, {_count(warnings, 'warning')}"
        lines = [f"check of {self.dataset}: {_count(self.checked, 'feature')}, {counted}"]
        lines += [f"  against {self.against}"] if self.against else []
        lines += [f"  as declared in {self.schema}"] if self.schema else []
        if self.findings:
            lines += ["", *_table(self.findings)]
        lines += [""] if self.unjudged else []
        for split, names in self.unjudged.items():
            shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if names[8:] else "")
            lines += [f"no verdict in {split}, with fewer than {self.rows} rows: {shown}"]
        return "\n".join(lines)


def worst_first(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The worst first."""
    return tuple(
        sorted(findings, key=lambda f: (f.severity, -f.excess, f.feature, f.split, f.check))
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _table(findings: Sequence[Finding]) -> list[str]:
    head = ("", "feature", "split", "check", "expected", "found")
    rows = [
        (one.severity, one.feature, one.split, one.check, one.expected, one.found)
        for one in findings
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(row: Sequence[str]) -> str:
        return "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))

    lines = [line(head).rstrip()]
    for row, finding in zip(rows, findings, strict=True):
        lines += [line(row).rstrip(), f"{'':<{widths[0]}}  → {finding.remedy}"]
    return lines
