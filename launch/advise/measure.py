"""What each candidate takes, and what it is worth as far as that is known."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from podway.framework import artifact
from podway.framework.artifact.upgrade import Choice
from podway.framework.comparison import evaluation, significance
from podway.framework.config import Experiment
from podway.framework.evaluation.evaluators import evaluator_of
from podway.framework.input.dataset import Dataset
from podway.framework.metrics import ranking
from podway.framework.report import artefacts
from podway.framework.runs import run
from podway.launch import stages
from podway.launch.advise.candidates import Candidate
from podway.launch.sweep import answer

MEMORY_ROWS = 64
"""Rows of the request whose memory is counted."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a model may take; None: as much as it likes.

    Attributes:
      latency: milliseconds of an answer of one row.
      memory: bytes.
    """

    latency: float | None = None
    memory: int | None = None

    def broken(self, latency: float, memory: int) -> list[str]:
        """What is above it, in words."""
        found = []
        if self.latency is not None and not latency <= self.latency:
            found.append(f"{latency:.3g} ms")
        if self.memory is not None and memory > self.memory:
            found.append("memory")
        return found


@dataclasses.dataclass(frozen=True)
class Worth:
    """The selecting metric on the test split.

    Attributes:
      value: of it.
      low: where its 95 % interval begins.
      high: where that ends.
      users: of each user; None where the metric is no mean over users.
    """

    value: float
    low: float
    high: float
    users: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Row:
    """What is known of a candidate.

    Attributes:
      candidate: which.
      weights: bytes of its parameters.
      memory: bytes of parameters, a request of MEMORY_ROWS and what is computed between.
      latency: milliseconds of an answer of one row.
      broken: what of it is above the budget.
      worth: None: it has not been trained.
      run: its folder, where it has been.
    """

    candidate: Candidate
    weights: int
    memory: int
    latency: float
    broken: Sequence[str]
    worth: Worth | None
    run: str = ""

    @property
    def fits(self) -> bool:
        """Whether it is within the budget."""
        return not self.broken


def measure(
    candidates: Sequence[Candidate],
    dataset: Dataset,
    workdir: epath.PathLike,
    budget: Budget,
    *,
    trains: bool,
    code: Choice | None = None,
    say: Callable[[Row], None] = lambda _: None,
) -> list[Row]:
    """A row for each candidate.

    Simple models are fitted and evaluated where they have not been; others only where they fit the
    budget and `trains` says so.
    """
    rows = []
    for candidate in candidates:
        experiment = candidate.experiment
        if candidate.simple:
            stages.evaluate(experiment, workdir, code)
        parameters = _parameters(candidate, dataset, workdir, code)
        one, many = (
            answer.request(experiment, dataset, parameters, count) for count in (1, MEMORY_ROWS)
        )
        latency = one.milliseconds()
        broken = budget.broken(latency, many.memory)
        if trains and not broken and not candidate.simple:
            stages.evaluate(experiment, workdir, code)
        worth, directory = _worth(experiment, dataset, workdir, code)
        weights = sum(math.prod(each.shape) * each.dtype.itemsize for each in parameters.values())
        row = Row(candidate, weights, many.memory, latency, broken, worth, directory)
        say(row)
        rows.append(row)
    return rows


def _parameters(
    candidate: Candidate, dataset: Dataset, workdir: epath.PathLike, code: Choice | None
) -> Mapping[str, Any]:
    """A simple model's own; of others the first ones, in the candidate's format."""
    experiment = candidate.experiment
    if candidate.simple:
        return run.load(_directory(experiment, dataset, workdir, code), experiment)[2]
    return answer.first_parameters(experiment, dataset)


def _directory(
    experiment: Experiment, dataset: Dataset, workdir: epath.PathLike, code: Choice | None
) -> epath.Path:
    return run.directory(experiment, run.inputs(dataset), workdir, code, look=True)


def _worth(
    experiment: Experiment, dataset: Dataset, workdir: epath.PathLike, code: Choice | None
) -> tuple[Worth | None, str]:
    """What its evaluation says, if there is one; and its run."""
    directory = _directory(experiment, dataset, workdir, code)
    if not artifact.exists(directory):
        return None, ""
    manifest = artifact.read_manifest(directory, "run")
    made = evaluation.directory(experiment, manifest, workdir, "keep")
    if not artifact.exists(made):
        return None, str(directory)
    name = evaluation.own_name(experiment)
    metric = evaluator_of(experiment.model, experiment.evaluation).metric
    cell = artefacts.table(made)[name][metric]
    kind, _, k = metric.partition("@")
    users = None
    if kind in ranking.PER_USER:
        users = ranking.PER_USER[kind](evaluation.read_ranks(made)[name], int(k))
    value = float(cell["value"])
    low, high = (float(cell.get(end, math.nan)) for end in ("low", "high"))
    return Worth(value, low, high, users), str(directory)


def difference(best: Worth, other: Worth) -> significance.Interval | None:
    """The other's metric less the best one's, over the same users; None: nobody knows."""
    if best.users is None or other.users is None or len(best.users) != len(other.users):
        return None
    return significance.paired(best.users, other.users)
