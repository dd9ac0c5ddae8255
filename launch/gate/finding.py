"""What a rule says of a version, and all of them together."""

import dataclasses
import functools
from typing import Any, Literal

from podway.framework import codec

Outcome = Literal["passed", "failed", "not judged", "skipped"]
"""What is not judged fails; what is skipped has no champion to hold against."""
Unit = Literal["", "%", "ms", "MB"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """What one rule says.

    Attributes:
      rule: in words.
      outcome: whether it holds.
      reason: why, in a sentence.
      candidate: what was measured of it.
      champion: likewise.
      difference: of the candidate from the champion; in percent of the champion's where `unit` says
        so, of times and sizes the ratio.
      low: where the interval of the difference begins, or without a champion that of the value.
      high: where it ends.
      p: over all rules that rest on a sample (Holm); None: this one does not.
      users: behind it.
      unit: of the numbers; "%": of the difference alone.
      wrong: whether the rule is to blame, as it asks for what such a model does not have.
    """

    rule: str
    outcome: Outcome
    reason: str
    candidate: float | None = None
    champion: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    users: int | None = None
    unit: Unit = ""
    wrong: bool = False

    @property
    def holds(self) -> bool:
        """Whether nothing stands against the version here."""
        return self.outcome in ("passed", "skipped")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a version may serve.

    Attributes:
      model: its name.
      version: of the model.
      champion: the version that it was held against; None: there was none.
      label: whose version that was; "": that of requests without one.
      dataset: version of the dataset whose test split both were measured on.
      examples: of it.
      by: what the metrics were made of, in words.
      error_rate: over all rules that rest on a sample.
      findings: of all rules, in their order.
    """

    model: str
    version: int
    champion: int | None
    label: str
    dataset: str
    examples: int
    by: str
    error_rate: float
    findings: tuple[Finding, ...]

    @functools.cached_property
    def passed(self) -> bool:
        """Whether every rule holds, and one at least was judged."""
        judged = any(finding.outcome == "passed" for finding in self.findings)
        return judged and all(finding.holds for finding in self.findings)

    @property
    def against(self) -> tuple[Finding, ...]:
        """What stands against it."""
        return tuple(finding for finding in self.findings if not finding.holds)

    def to_json(self) -> dict[str, Any]:
        """As verdict.json has it."""
        return {"passed": self.passed, **dataclasses.asdict(self)}


def from_json(value: dict[str, Any]) -> Verdict:
    """The inverse of `to_json`. Raises ConfigError."""
    fields = {name: part for name, part in value.items() if name != "passed"}
    return codec.from_json(Verdict, fields, "verdict")
