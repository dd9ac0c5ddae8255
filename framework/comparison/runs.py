"""Runs beside each other, on the same test users: is one better, and what does the seed do?"""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from podway.framework import artifact, config
from podway.framework.artifact import upgrade
from podway.framework.comparison import significance
from podway.framework.comparison.evaluation import aligned, compare, own_name, read_ranks
from podway.framework.error import check
from podway.framework.input.batches import Dataset
from podway.framework.metrics import ranking
from podway.framework.report import artefacts
from podway.framework.runs import run

SEEDS = 3
"""Runs that an interval over seeds takes."""


@dataclasses.dataclass(frozen=True)
class EvaluatedRun:
    """A run, as it was evaluated.

    Attributes:
      directory: of the run.
      experiment: with the `evaluation` that all runs share.
      code: hash of the code that made it.
      ranks: of the test split's targets, [users].
      evaluation: the evaluation's directory.
      metrics: the run's own in the evaluation's table.
    """

    directory: epath.Path
    experiment: config.Experiment
    code: str
    ranks: np.ndarray
    evaluation: epath.Path
    metrics: Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs that differ in trainer.seed alone, and what to call them."""

    name: str
    runs: list[EvaluatedRun]

    def users(self, metric: Callable[[np.ndarray, int], np.ndarray], k: int) -> np.ndarray:
        """A metric of each user, averaged over the seeds, [users]."""
        return np.mean([metric(run.ranks, k) for run in self.runs], axis=0)

    def seeds(self, metric: Callable[[np.ndarray, int], np.ndarray], k: int) -> np.ndarray:
        """A metric of each seed, averaged over the users, [runs]."""
        return np.array([metric(run.ranks, k).mean() for run in self.runs])


def find(chosen: str, workdir: epath.PathLike) -> epath.Path:
    """The folder of a run, given that folder, or the name of an experiment for its latest run.

    Raises ConfigError.
    """
    directory = epath.Path(chosen)
    if not artifact.exists(directory):
        latest = run.latest(epath.Path(workdir) / "runs" / chosen)
        check(
            latest is not None,
            f"there is no run {chosen}: give the folder of a finished one,"
            f" {workdir}/runs/NAME/RUN, or the name of an experiment that has one there",
        )
        assert latest is not None
        return latest
    return directory


def evaluate_runs(
    directories: Sequence[epath.Path],
    workdir: epath.PathLike,
    choice: upgrade.Choice | None = None,
) -> list[EvaluatedRun]:
    """The runs' ranks, from their evaluations, which are made where they are missing.

    All are evaluated as the first run's `evaluation` says. Raises ConfigError for runs on different
    datasets, and for fewer than two; CodeChanged for an evaluation by other code, without a choice.
    """
    check(
        len(set(map(str, directories))) == len(directories) > 1, "give two or more different runs"
    )
    manifests = [artifact.read(directory, "run") for directory in directories]
    first = manifests[0].inputs["dataset"]
    for directory, manifest in zip(directories, manifests, strict=True):
        check(
            manifest.inputs["dataset"] == first,
            f"{directories[0]} is of dataset {first}, and {directory} of"
            f" {manifest.inputs['dataset']}: their users are not the same, so there is nothing to"
            " pair; train both on one dataset",
        )
    experiments = [run.described(directory)[0] for directory in directories]
    folder = epath.Path(workdir) / "datasets" / experiments[0].data.name / first
    dataset, found = Dataset.open(folder), []
    for directory, manifest, experiment in zip(directories, manifests, experiments, strict=True):
        alike = dataclasses.replace(experiment, evaluation=experiments[0].evaluation)
        evaluation = compare(alike, directory, dataset, workdir, choice)
        ranks, name = read_ranks(evaluation), own_name(alike)
        check(name in ranks, f"{directory} is of {name}, which ranks nothing; compare recommenders")
        metrics = artefacts.table(evaluation)[name]
        found.append(
            EvaluatedRun(directory, alike, manifest.code, ranks[name], evaluation, metrics)
        )
    return found


def grouped(runs: Sequence[EvaluatedRun]) -> list[Group]:
    """Runs that differ in the seed alone together, in the order in which they were given.

    Those of one config but different code are no seeds of one model.
    """
    groups: dict[str, list[EvaluatedRun]] = {}
    for one in runs:
        key = json.dumps([_without_seed(one.experiment), one.code])
        groups.setdefault(key, []).append(one)
    firsts = [members[0] for members in groups.values()]
    names = [first.experiment.name for first in firsts]
    versions = [first.directory.name for first in firsts]
    short = [version[:6] for version in versions]
    labels = short if len(set(short)) == len(short) else versions
    return [
        Group(name if names.count(name) == 1 else f"{name} {label}", members)
        for name, label, members in zip(names, labels, groups.values(), strict=True)
    ]


def _without_seed(experiment: config.Experiment) -> dict[str, Any]:
    trainer = dataclasses.replace(experiment.trainer, seed=0)
    alike = dataclasses.replace(experiment, trainer=trainer)
    return {"name": alike.name, **run.identity(alike)}


def report(groups: Sequence[Group]) -> str:
    """HR and NDCG of each group over its seeds, and the others' differences from the first group.

    Seeds are averaged, user by user, before groups are compared.
    """
    lines = [users_of(groups)]
    several = [group for group in groups if len(group.runs) > 1]
    if several:
        lines += ["", "over seeds: mean, with a 95 % t interval"]
        rows = [["", *(f"{group.name} ({len(group.runs)} seeds)" for group in several)]]
        for name, metric, k in metrics_of(groups):
            rows.append([name, *(over_seeds(group.seeds(metric, k)) for group in several)])
        lines.append(aligned(rows))
        if min(len(group.runs) for group in several) < SEEDS:
            lines.append(f"({SEEDS} seeds or more give an interval)")
    for each in differences(groups):
        lines += ["", each.title, aligned(table_of(each))]
    return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class Differences:
    """How one group differs from the first.

    Attributes:
      title: which from which, and how it is tested.
      first: the first group's name.
      name: the group's.
      rows: by metric, the mean of the first group, that of this one, their difference, and its p
        over all comparisons.
    """

    title: str
    first: str
    name: str
    rows: Mapping[str, tuple[float, float, significance.Difference, float]]


def differences(groups: Sequence[Group]) -> list[Differences]:
    """Of each group but the first one."""
    rows: list[dict[str, Any]] = [{} for _ in groups[1:]]
    for metric, per_user, k in metrics_of(groups):
        first, *others = (group.users(per_user, k) for group in groups)
        found = [significance.paired(first, other) for other in others]
        adjusted = significance.adjusted([each.p for each in found])
        for at, other in enumerate(others):
            means = float(first.mean()), float(other.mean())
            rows[at][metric] = (*means, found[at], adjusted[at])
    several = f", p for {len(rows)} comparisons (Holm)" if len(rows) > 1 else ""
    return [
        Differences(
            f"{group.name} less {groups[0].name}: paired t-test over users{several}",
            groups[0].name,
            group.name,
            found,
        )
        for group, found in zip(groups[1:], rows, strict=True)
    ]


def table_of(found: Differences) -> list[list[str]]:
    """The differences of a group as text, a row a metric, below a head."""
    rows = [["", found.first, found.name, "difference", "95 % interval", "p"]]
    for metric, (first, other, difference, p) in found.rows.items():
        rows.append(
            [
                metric,
                f"{first:.4f}",
                f"{other:.4f}",
                f"{difference.mean:+.4f}",
                f"[{difference.low:+.4f}, {difference.high:+.4f}]",
                f"{p:.2g}",
            ]
        )
    return rows


def users_of(groups: Sequence[Group]) -> str:
    """How many users there are, in words."""
    return f"{len(groups[0].runs[0].ranks):,} test users, each ranked by all"


def metrics_of(
    groups: Sequence[Group],
) -> list[tuple[str, Callable[[np.ndarray, int], np.ndarray], int]]:
    """What groups are compared by: the metric's name, its function of ranks, and its cutoff."""
    cutoffs = groups[0].runs[0].experiment.evaluation.cutoffs
    return [(f"{name}@{k}", ranking.PER_USER[name], k) for k in cutoffs for name in ("hr", "ndcg")]


def over_seeds(values: np.ndarray) -> str:
    """A mean over seeds, with an interval where there are enough."""
    if len(values) < SEEDS:
        return f"{values.mean():.4f}"
    found = significance.interval(values)
    return f"{found.mean:.4f} ± {found.high - found.mean:.4f}"
