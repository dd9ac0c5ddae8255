"""Runs beside each other, on the same test users: is one better, and what does the seed do?"""

import dataclasses
import json
from collections.abc import Callable, Sequence
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
from podway.framework.runs import run

SEEDS = 3
"""Runs that an interval over seeds takes."""


@dataclasses.dataclass(frozen=True)
class EvaluatedRun:
    """A run, the code that made it, and the ranks of the test split's targets, [users]."""

    directory: epath.Path
    experiment: config.Experiment
    code: str
    ranks: np.ndarray


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
        found.append(EvaluatedRun(directory, alike, manifest.code, ranks[name]))
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
    lines = [f"{len(groups[0].runs[0].ranks):,} test users, each ranked by all"]
    several = [group for group in groups if len(group.runs) > 1]
    if several:
        lines += ["", "over seeds: mean, with a 95 % t interval"]
        rows = [["", *(f"{group.name} ({len(group.runs)} seeds)" for group in several)]]
        for name, metric, k in _metrics(groups):
            rows.append([name, *(_over_seeds(group.seeds(metric, k)) for group in several)])
        lines.append(aligned(rows))
        if min(len(group.runs) for group in several) < SEEDS:
            lines.append(f"({SEEDS} seeds or more give an interval)")
    for at, group in enumerate(groups[1:], start=1):
        lines += ["", f"{group.name} less {groups[0].name}: paired t-test over users"]
        if len(groups) > 2:
            lines[-1] += f", p for {len(groups) - 1} comparisons (Holm)"
        rows = [["", groups[0].name, group.name, "difference", "95 % interval", "p"]]
        for name, metric, k in _metrics(groups):
            first, *others = (each.users(metric, k) for each in groups)
            found = [significance.paired(first, other) for other in others]
            ours = found[at - 1]
            rows.append(
                [
                    name,
                    f"{first.mean():.4f}",
                    f"{others[at - 1].mean():.4f}",
                    f"{ours.mean:+.4f}",
                    f"[{ours.low:+.4f}, {ours.high:+.4f}]",
                    f"{significance.adjusted([each.p for each in found])[at - 1]:.2g}",
                ]
            )
        lines.append(aligned(rows))
    return "\n".join(lines)


def _metrics(groups: Sequence[Group]):
    cutoffs = groups[0].runs[0].experiment.evaluation.cutoffs
    return [(f"{name}@{k}", ranking.PER_USER[name], k) for k in cutoffs for name in ("hr", "ndcg")]


def _over_seeds(values: np.ndarray) -> str:
    if len(values) < SEEDS:
        return f"{values.mean():.4f}"
    found = significance.interval(values)
    return f"{found.mean:.4f} ± {found.high - found.mean:.4f}"
