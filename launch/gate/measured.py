"""What is known of a version and of the champion when it is judged."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from podway.framework.config import DataCheck

if TYPE_CHECKING:
    from podway.beam.check.findings import Report

_LARGER = {"hr", "ndcg", "mrr", "sampled_hr", "sampled_ndcg", "sampled_mrr"} | {
    *("auc", "gauc", "accuracy")
}
_SMALLER = {"logloss", "weighted_logloss", "normalized_entropy", "ece", "rmse", "rmsle", "nll"}


@dataclasses.dataclass(frozen=True)
class Values:
    """A metric of the same users by both versions.

    A metric that is no mean over users stands here as what each user pulls it by (Efron's
    influence), around its value: the mean is the metric, and the spread is that of the metric.

    Attributes:
      candidate: of each user, [users].
      champion: of the same users; None: there is no champion.
      shares: whether each user's value is from 0 to 1.
    """

    candidate: np.ndarray
    champion: np.ndarray | None = None
    shares: bool = False


@dataclasses.dataclass(frozen=True)
class Point:
    """A metric of the candidate that has no interval: coverage@10, LABEL/ece."""

    candidate: float


@dataclasses.dataclass(frozen=True)
class Unmeasured:
    """Why something could not be measured, and what would help.

    Attributes:
      reason: in a sentence.
      wrong: whether the rule is to blame, which no other data would have measured.
    """

    reason: str
    wrong: bool = False


@dataclasses.dataclass(frozen=True)
class Timings:
    """Seconds of calls, [rounds, calls]; of the champion None where there is none."""

    candidate: np.ndarray
    champion: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Measured:
    """All of it.

    Attributes:
      selection: the metric that selects the checkpoint.
      examples: in the test split.
      invalid: share of them that the candidate answers with what is no finite number.
      champion: whether there is one.
      values: (metric, slice) → what was measured.
      timings: rows of the request → calls.
      bytes: of the candidate's files, and of the champion's.
      checked: what the check of the dataset found.
    """

    selection: str
    examples: int
    invalid: float
    champion: bool
    values: Mapping[tuple[str, str], Values | Point | Unmeasured]
    timings: Mapping[int, Timings | Unmeasured] = dataclasses.field(default_factory=dict)
    bytes: tuple[int, int | None] = (0, None)
    checked: Mapping[DataCheck, Report | Unmeasured] = dataclasses.field(default_factory=dict)


def larger_is_better(metric: str) -> bool | None:
    """Which way a metric is better; None: neither, or nobody knows."""
    name = metric.rpartition("/")[2].partition("@")[0]
    return True if name in _LARGER else False if name in _SMALLER else None


def called(metric: str, part: str) -> str:
    """A metric of a slice as tables name it."""
    return f"{metric} [{part}]" if part else metric
