"""What an alert is, and from which values on alerts tell somebody."""

import dataclasses
import re
from typing import Any, Literal

from podway.framework.error import check

Severity = Literal["critical", "warning"]
RUNBOOKS = "docs/runbooks"
"""Where the runbooks' pages are, unless it is said otherwise."""


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """From which values on alerts tell somebody. Shares are in percent."""

    stale_days: float = 3.0
    """Age of the newest dataset's latest event."""
    rejected_percent: float = 1.0
    """Of a dataset's raw rows that are rejected."""
    standing_minutes: float = 30.0
    """Without a sign of life of a run in training; of a rollout that waits for servers."""
    goodput_percent: float = 50.0
    """Of a training run's life that goes into its steps, at least, for an hour."""
    stall_percent: float = 30.0
    """Of the time in which a training step waits for its input, for fifteen minutes."""
    error_percent: float = 2.0
    """Of requests that fail by the server's fault, for five minutes."""
    p99_milliseconds: float = 500.0
    """Time in the server that 99 % of requests stay below, for ten minutes."""
    empty_percent: float = 1.0
    """Of recommendation lists that have no item, for five minutes."""
    unknown_percent: float = 20.0
    """Of the values of requests that the version's vocabulary lacks."""
    fallback_percent: float = 30.0
    """Of the requests without one known item."""
    popular_percent: float = 80.0
    """Of the recommended items that are among the most popular hundredth."""
    rows: int = 500
    """Logged rows below which shares of the log say nothing."""
    loop_days: float = 2.0
    """Since continuous training last served a model, or found nothing to do."""
    monitor_minutes: float = 15.0
    """Since the monitor's last pass."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            most = 100.0 if field.name.endswith("percent") else float("inf")
            check(
                0 < value <= most and value != float("inf"),
                f"thresholds.{field.name} is {value}; give more than 0"
                + (" and up to 100" if most == 100 else ""),
            )


@dataclasses.dataclass(frozen=True)
class Alert:
    """An alert.

    Attributes:
      name: of it, PodwayFamilyWhat.
      expression: which has a sample for each thing that somebody is told of.
      lasting: how long it must be so.
      severity: "critical" wakes somebody, "warning" waits for the morning.
      summary: what is wrong, in a sentence; a template of Prometheus'.
    """

    name: str
    expression: str
    lasting: str
    severity: Severity
    summary: str

    @property
    def family(self) -> str:
        """What it is about: its second word."""
        return re.findall("[A-Z][a-z]+", self.name)[1].lower()

    @property
    def page(self) -> str:
        """Of its runbook: the name without Podway, as a file's."""
        return "_".join(re.findall("[A-Z][a-z]+", self.name)[1:]).lower()

    def rule(self, runbooks: str = RUNBOOKS, **labels: str) -> dict[str, Any]:
        """As it stands in a file of rules; `labels` come beside the severity."""
        return {
            "alert": self.name,
            "expr": self.expression,
            "for": self.lasting,
            "labels": {"severity": self.severity, **labels},
            "annotations": {
                "summary": self.summary,
                "runbook_url": f"{runbooks.rstrip('/')}/{self.page}.md",
            },
        }
