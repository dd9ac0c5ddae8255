"""Runs beside each other, on the small dataset."""

import dataclasses
import json
import re

import numpy as np
import pytest
from etils import epath

from podway.framework import artifact
from podway.framework.comparison.evaluation import read_ranks
from podway.framework.comparison.runs import evaluate_runs, find, grouped, report
from podway.framework.config import Data, Evaluation, Experiment
from podway.framework.error import ConfigError
from podway.framework.input.dataset import Dataset
from podway.framework.models.ials import Ials
from podway.framework.models.popularity import Popularity
from podway.framework.training import fitting
from tests.framework.conftest import write_dataset


def experiment(model, seed=0, **evaluation) -> Experiment:
    options = Evaluation(**({"cutoffs": (1, 5), "batch_size": 32, "bootstrap": 10} | evaluation))
    made = Experiment("walks", Data("walks", "by hand"), model=model, evaluation=options)
    return dataclasses.replace(made, trainer=dataclasses.replace(made.trainer, seed=seed))


@pytest.fixture(scope="module")
def workdir(tmp_path_factory) -> epath.Path:
    return epath.Path(tmp_path_factory.mktemp("workdir"))


@pytest.fixture(scope="module")
def runs(workdir) -> list[epath.Path]:
    """Popularity, and a small factorisation with three seeds; the last is the latest run."""
    dataset = write_dataset(workdir / "datasets" / "walks" / "walks-1")
    models = [(Popularity(), 0), *((Ials(width=2, epochs=1), seed) for seed in range(3))]
    return [fitting.fit(experiment(*each), dataset, workdir) for each in models]


def test_seeds_are_averaged_and_models_compared_user_by_user(workdir, runs):
    evaluated = evaluate_runs(runs, workdir)
    popularity, factors = grouped(evaluated)
    assert (len(popularity.runs), len(factors.runs)) == (1, 3)
    assert len({group.name for group in (popularity, factors)}) == 2
    hits = np.array([each.ranks <= 5 for each in evaluated], float)
    lines = report([popularity, factors]).splitlines()
    seeds = hits[1:].mean(1)
    half = 4.302653 * seeds.std(ddof=1) / 3**0.5
    (row,) = (line for line in lines if re.match(r"hr@5 .*±", line))
    assert row.split()[1:] == [f"{seeds.mean():.4f}", "±", f"{half:.4f}"]
    row = [line for line in lines if line.startswith("hr@5")][1]
    difference = hits[1:].mean(0) - hits[0]
    half = 1.985251 * difference.std(ddof=1) / 96**0.5
    low, high = difference.mean() - half, difference.mean() + half
    assert row.split()[1:-1] == [
        f"{hits[0].mean():.4f}",
        f"{hits[1:].mean():.4f}",
        f"{difference.mean():+.4f}",
        f"[{low:+.4f},",
        f"{high:+.4f}]",
    ]


def test_ranks_are_kept_beside_the_table(workdir, runs):
    (folder,) = (
        path.parent
        for path in (workdir / "evaluations" / "walks").glob("*/ranks.npz")
        if "Popularity" in (path.parent / "table.json").read_text()
        and artifact.read(path.parent, "evaluation").inputs["run"] == runs[0].name
    )
    ranks = read_ranks(folder)
    assert set(ranks) == {"Popularity", "seq-KNN"}, "the baseline itself is not shown twice"
    assert ranks["Popularity"].shape == (96,)
    table = json.loads((folder / "table.json").read_text())
    assert table["Popularity"]["hr@1"]["value"] == (ranks["Popularity"] == 1).mean()


def test_a_name_stands_for_its_latest_run(workdir, runs):
    assert find("walks", workdir) == runs[-1]
    assert find(str(runs[0]), workdir) == runs[0]
    with pytest.raises(ConfigError, match="there is no run nothing: give the folder"):
        find("nothing", workdir)


def test_all_are_evaluated_as_the_first_one_is(workdir, runs):
    dataset = Dataset.open(workdir / "datasets" / "walks" / "walks-1")
    other = fitting.fit(experiment(Ials(width=3, epochs=1), cutoffs=(1, 2)), dataset, workdir)
    groups = grouped(evaluate_runs([other, runs[0]], workdir))
    assert "ndcg@2" in report(groups)
    assert "ndcg@5" not in report(groups)


def test_runs_that_cannot_be_compared(workdir, runs, histories, tmp_path):
    with pytest.raises(ConfigError, match="give two or more different runs"):
        evaluate_runs([runs[0], runs[0]], workdir)
    dataset = write_dataset(tmp_path / "other", histories)
    manifest = dataclasses.replace(dataset.manifest, version="walks-2")
    elsewhere = dataclasses.replace(dataset, manifest=manifest)
    other = fitting.fit(experiment(Popularity()), elsewhere, workdir)
    with pytest.raises(ConfigError, match=r"is of dataset walks-1, and .* of walks-2: their users"):
        evaluate_runs([runs[0], other], workdir)
