"""Reproduces published figures on MovieLens 1M: python -m benchmarks.reproduce --path ml-1m.txt

The canonical sequential file ("user item" a line, 999,611 lines) is not shipped; GroupLens' terms
forbid it. Leave-one-out, full catalogue, seen items filtered; the checkpoint is chosen on the
validation split. Trains each config with each seed, or goes on where it was stopped, and prints a
table in Markdown beside the published figures. `--report` trains nothing: what was not trained to
the end has no figure.
"""

import dataclasses
import json
import statistics
from collections.abc import Sequence

import tyro
from etils import epath

from podway.framework import artifact
from podway.framework.config import Experiment
from podway.launch import experiments, stages

PUBLISHED = {
    "movielens1m_sasrec_bce": ("SASRec, BCE", ".239–.250", ".126–.134"),
    "movielens1m_sasrec": ("SASRec, full cross-entropy", ".315", ".182"),
    "movielens1m_gsasrec": ("gSASRec", ".300", ".173"),
    "movielens1m_esasrec": ("eSASRec (on 3,706 items)", ".313", ".177"),
    "movielens1m_hstu": ("HSTU", ".302", ".172"),
    "movielens1m_bert4rec": ("BERT4Rec", ".282–.284", ".152–.156"),
}
"""Config → (name, HR@10, NDCG@10): Klenitskiy & Vasilev 2023 (arXiv:2309.07602), Petrov & Macdonald
2023 (arXiv:2308.07192), eSASRec 2025 (arXiv:2508.06450), and re-evaluations of HSTU."""

METRICS = ("hr@10", "ndcg@10")
BASELINES = ("popularity", "seq-KNN")


@dataclasses.dataclass(frozen=True)
class Options:
    """What to train."""

    path: str
    """The raw file."""
    workdir: str = "workdir"
    """Where artefacts lie."""
    configs: tuple[str, ...] = tuple(PUBLISHED)
    """The configs."""
    seeds: tuple[int, ...] = (0,)
    """The seeds of each."""
    report: bool = False
    """Train nothing: print what is there."""


@dataclasses.dataclass(frozen=True)
class Result:
    """Attributes:
    metrics: {model: {metric: value}} on the test split, baselines included.
    steps: of the whole run.
    minutes: that it took.
    """

    metrics: dict[str, dict[str, float]]
    steps: int
    minutes: float


def experiment(name: str, path: str, seed: int) -> Experiment:
    """The config with its file and seed."""
    base = experiments.load(name)
    return dataclasses.replace(
        base,
        data=dataclasses.replace(base.data, path=path),
        trainer=dataclasses.replace(base.trainer, seed=seed),
    )


def evaluated(each: Experiment, workdir: str) -> Result:
    """Trains and evaluates, or finds that it was done."""
    _, run = stages.evaluate(each, workdir)
    from podway.framework.comparison import evaluation

    manifest = artifact.read(run, "run")
    directory = evaluation.directory(each, manifest, workdir)
    table = json.loads((epath.Path(directory) / "table.json").read_text())
    phases = json.loads((run / "goodput.json").read_text())
    return Result(
        {model: {m: row[m]["value"] for m in METRICS if m in row} for model, row in table.items()},
        each.trainer.steps,
        sum(phases["seconds"].values()) / 60,
    )


def line(name: str, results: Sequence[Result], expected: int) -> str:
    """A row of the table."""
    title, *published = PUBLISHED[name]
    if not results:
        return f"| {title} | `{name}` | not trained to the end | | {' | '.join(published)} | |"
    own = type(experiments.load(name).model).__name__
    cells = [spread([each.metrics[own][metric] for each in results]) for metric in METRICS]
    minutes = statistics.mean(each.minutes for each in results)
    seeds = f"{len(results)} of {expected}" if len(results) < expected else str(expected)
    cost = f"{results[0].steps:,} steps, {minutes:.0f} min, seeds: {seeds}"
    return f"| {title} | `{name}` | {' | '.join(cells)} | {' | '.join(published)} | {cost} |"


def spread(values: Sequence[float]) -> str:
    """The mean, with the 95 % interval of a mean by Student's t where there are several seeds."""
    mean = statistics.mean(values)
    if len(values) < 3:
        return " / ".join(f"{value:.4f}" for value in values)
    from scipy import stats

    half = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:.4f} ± {half:.4f}"


def main(options: Options) -> None:
    """Prints the table."""
    rows, first = [], None
    for name in options.configs:
        results = []
        for seed in options.seeds:
            each = experiment(name, options.path, seed)
            if options.report and not finished(each, options.workdir):
                continue
            results.append(evaluated(each, options.workdir))
        rows.append(line(name, results, len(options.seeds)))
        first = first or (results[0] if results else None)
    print("| model | config | HR@10 | NDCG@10 | published HR@10 | NDCG@10 | cost |")
    print("|---|---|---|---|---|---|---|")
    if first:
        for baseline in BASELINES:
            cells = [f"{first.metrics[baseline][metric]:.4f}" for metric in METRICS]
            print(f"| {baseline} | | {' | '.join(cells)} | | | |")
    print(*rows, sep="\n")


def finished(each: Experiment, workdir: str) -> bool:
    """Whether the run is there, to its last step."""
    from podway.framework.runs import run

    dataset, others = stages.datasets(each, workdir, build=False)
    return artifact.exists(run.directory(each, run.inputs(dataset, others), workdir))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
