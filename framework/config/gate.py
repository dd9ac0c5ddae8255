"""What a version must show before it serves."""

import dataclasses
import math
from typing import Literal

from podway.framework.config.limits import Limits
from podway.framework.error import check

Slice = Literal[
    "",
    "history short",
    "history middle",
    "history long",
    "target head",
    "target mid",
    "target tail",
    "target cold",
]
"""A part of the test examples, as an evaluation groups them: users by their events, a third each,
or items by their share of the training events; "": all."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """One thing that a version must show. Choose Better, NotWorse, Within, Latency, Size or
    DataCheck."""


@dataclasses.dataclass(frozen=True)
class Better(Rule):
    """A metric is better than the champion's, beyond chance."""

    metric: str = ""
    """As the evaluation's table names it: ndcg@10, click/auc. Empty: the one that selects the
    checkpoint."""
    by: float = 0.0
    """At least by so much."""
    relative: bool = False
    """Whether `by` is a share of the champion's value."""
    slice: Slice = ""
    """Of which test examples; empty: of all."""

    def __post_init__(self):
        _check_share(self, "by", self.by, self.by >= 0, "0 or more")


@dataclasses.dataclass(frozen=True)
class NotWorse(Rule):
    """A metric is not worse than the champion's by a margin, beyond chance."""

    metric: str = ""
    """As the evaluation's table names it: ndcg@10, click/auc. Empty: the one that selects the
    checkpoint."""
    margin: float = 0.02
    """The loss that would be too much. The smaller, the more users it takes to rule that out."""
    relative: bool = True
    """Whether `margin` is a share of the champion's value."""
    slice: Slice = ""
    """Of which test examples; empty: of all."""

    def __post_init__(self):
        _check_share(
            self,
            "margin",
            self.margin,
            self.margin > 0,
            "more than 0, as no number of users shows that two are exactly alike",
        )


@dataclasses.dataclass(frozen=True)
class Within(Rule):
    """A metric lies within bounds, whatever the champion's is; with its interval, if it has one."""

    metric: str = ""
    """As the evaluation's table names it: click/calibration, coverage@10. Empty: the one that
    selects the checkpoint."""
    low: float | None = None
    """It must be above this."""
    high: float | None = None
    """It must be below this."""
    slice: Slice = ""
    """Of which test examples; empty: of all."""

    def __post_init__(self):
        _check_limits(self, low=self.low, high=self.high)
        if self.low is not None and self.high is not None:
            check(
                self.low < self.high,
                f"gate.rules: Within({self.metric!r}) has low {self.low:g} and high {self.high:g};"
                " give a low below the high",
            )


@dataclasses.dataclass(frozen=True)
class Latency(Rule):
    """How long the published model takes for a request, measured beside the champion."""

    batch_size: int = 1
    """Rows of the request."""
    percentile: float = 99.0
    """Of the calls: 50 is the median."""
    milliseconds: float | None = None
    """It takes no longer than this."""
    ratio: float | None = None
    """It takes no longer than so many times what the champion takes."""

    def __post_init__(self):
        _check_limits(self, milliseconds=self.milliseconds, ratio=self.ratio)
        check(
            self.batch_size >= 1,
            f"gate.rules: Latency has batch_size {self.batch_size}; give 1 or more",
        )
        check(
            0 < self.percentile <= 100,
            f"gate.rules: Latency has percentile {self.percentile:g}; give one up to 100",
        )


@dataclasses.dataclass(frozen=True)
class Size(Rule):
    """How large the published model is."""

    megabytes: float | None = None
    """Its files have no more than so many millions of bytes."""
    ratio: float | None = None
    """They have no more than so many times the bytes of the champion's."""

    def __post_init__(self):
        _check_limits(self, megabytes=self.megabytes, ratio=self.ratio)


@dataclasses.dataclass(frozen=True)
class DataCheck(Rule):
    """`podway data --check` finds no error in the dataset that the version was made of."""

    schema: str = ""
    """File of a declared schema to check against; empty: none."""
    against_champion: bool = True
    """Check against the dataset of the champion, too."""
    warnings: bool = False
    """Whether a warning fails it, too."""
    limits: Limits = Limits()
    """How far it may be from the champion's."""

    def __post_init__(self):
        check(
            bool(self.schema) or self.against_champion,
            "gate.rules: DataCheck has nothing to check against: give a schema, or leave"
            " against_champion on",
        )


@dataclasses.dataclass(frozen=True)
class Gate:
    """What a version must show, beside the one that serves, before it may serve itself."""

    rules: tuple[Rule, ...] = ()
    """All must hold. (): there is no gate, and what is exported serves."""
    error_rate: float = 0.05
    """How often, at most, something is taken for shown that is not so, over all rules together."""
    label: str = ""
    """The champion is the version at this label; empty: the one that requests without one get."""
    least_users: int = 30
    """Test users that a metric, or a slice of them, takes; of fewer nothing is shown."""
    calls: int = 100
    """Timed calls of each request, in each of five rounds."""

    def __post_init__(self):
        check(
            0 < self.error_rate < 0.5,
            f"gate.error_rate is {self.error_rate}; give more than 0 and less than 0.5",
        )
        check(self.least_users >= 2, f"gate.least_users is {self.least_users}; give 2 or more")
        check(self.calls >= 1, f"gate.calls is {self.calls}; give 1 or more")
        for rule in self.rules:
            check(
                type(rule) is not Rule,
                "gate.rules has a Rule; give a Better, NotWorse, Within, Latency, Size, DataCheck",
            )
        twice = [rule for at, rule in enumerate(self.rules) if rule in self.rules[:at]]
        check(not twice, f"gate.rules has {twice[:1]} twice; leave one out")


def _check_share(rule: Rule, field: str, value: float, holds: bool, right: str) -> None:
    name = type(rule).__name__
    check(
        holds and math.isfinite(value),
        f"gate.rules: {field} of {name} is {value:g}; give {right}",
    )


def _check_limits(rule: Rule, **limits: float | None) -> None:
    """That at least one is given, and all that are given are numbers."""
    name, names = type(rule).__name__, " or ".join(limits)
    check(
        any(limit is not None for limit in limits.values()),
        f"gate.rules: {name} has no limit; give {names}",
    )
    for field, limit in limits.items():
        check(
            limit is None or math.isfinite(limit),
            f"gate.rules: {field} of {name} is {limit}; give a number",
        )
