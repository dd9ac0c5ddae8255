"""How events and rows become train, validation and test examples."""

import dataclasses
from typing import Literal

from podway.framework.error import check


@dataclasses.dataclass(frozen=True)
class Split:
    """How events become train, validation and test examples. Choose LeaveOneOut, GlobalTime or
    RandomSplit."""


@dataclasses.dataclass(frozen=True)
class LeaveOneOut(Split):
    """Per user: the last event is the test target, the one before it the validation target.

    Users with fewer than three events train only.
    """


@dataclasses.dataclass(frozen=True)
class GlobalTime(Split):
    """Two points in time, equal for all users, taken as quantiles of the events' times.

    Train: events before the first point. Validation: each user's first event between the points,
    with the user's train events as history. Test: likewise after the second point, with all
    earlier events as history. Nothing that is trained on is later than a target.
    """

    validation: float = 0.8
    """Quantile of event time at which validation begins."""
    test: float = 0.9
    """Quantile of event time at which test begins."""

    def __post_init__(self):
        check(
            0 < self.validation < self.test < 1,
            f"data.split needs 0 < validation < test < 1, not {self.validation} and {self.test}",
        )


@dataclasses.dataclass(frozen=True)
class RandomSplit(Split):
    """Rows at random, for tables whose rows are alike but for what they hold: RowExamples only.

    Where a row goes depends on its values and the seed alone, not on the order of files or rows,
    and stays so when rows are added.
    """

    validation: float = 0.1
    """Share of the rows that validate."""
    test: float = 0.1
    """Share of the rows that test."""
    seed: int = 0
    """Another seed, another split."""
    stratify: str | None = None
    """A Label or Categorical feature, each of whose values is to have these shares; None: shares
    are those of all rows, and of a rare label chance decides."""
    by: Literal["row", "user"] = "row"
    """What goes to one split: each row for itself, or all rows of a user."""

    def __post_init__(self):
        check(
            self.validation > 0 and self.test > 0 and self.validation + self.test < 1,
            f"data.split needs shares above 0 for validation and test whose sum is below 1, not"
            f" {self.validation} and {self.test}",
        )
        check(
            self.stratify is None or self.by == "row",
            "data.split.stratify and data.split.by = 'user' exclude each other: a user's rows stay"
            " together, whatever their labels",
        )
