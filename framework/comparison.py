"""The evaluation artefact: a run beside its baselines on the test split, in one table."""

import json
from collections.abc import Mapping
from typing import cast

import jax
import numpy as np
from etils import epath

from framework import artifact, baselines, codec, config, evaluate, run, task
from framework.input import Dataset

Table = dict[str, dict[str, dict[str, float]]]
"""{model: {metric@k: {"value", "low", "high"}}}."""


def directory(
    experiment: config.Experiment, trained: artifact.Manifest, workdir: epath.PathLike
) -> epath.Path:
    """evaluations/NAME/VERSION for this run."""
    version = artifact.version(
        kind="evaluation",
        config=codec.to_json(experiment.evaluation, versioned=True),
        inputs={"run": trained.version, **trained.inputs},
        code=artifact.code_hash("framework"),
    )
    return epath.Path(workdir) / "evaluations" / experiment.name / version


def compare(
    experiment: config.Experiment, trained: epath.Path, dataset: Dataset, workdir: epath.PathLike
) -> epath.Path:
    """Ranks the test split once by the run's selected checkpoint and by each baseline.

    Returns the artefact's directory, with table.json and table.txt. Raises ArtifactError.
    """
    _, manifest, parameters = run.load(trained)
    target = directory(experiment, manifest, workdir)
    if artifact.exists(target):
        return target
    models = {type(experiment.model).__name__: experiment.model, **experiment.model.beside()}
    scorers: dict[str, evaluate.Scorer] = {
        **{name: _scorer(each, dataset, parameters) for name, each in models.items()},
        "popularity": baselines.Popularity.fit(dataset).scores,
        "seq-KNN": baselines.SequentialKnn.fit(dataset).scores,
    }
    counts = baselines.train_counts(dataset)
    table: Table = {}
    for name, scorer in scorers.items():
        ranks = evaluate.rank_split(scorer, dataset, "test", experiment.evaluation, f"test {name}")
        table[name] = evaluate.summarize(
            ranks, experiment.evaluation, counts, likelihood=name in models
        )
    with artifact.staging(target) as stage:
        (stage / "table.json").write_text(json.dumps(table, indent=1))
        (stage / "table.txt").write_text(format_table(table) + "\n")
        artifact.commit(
            stage,
            kind="evaluation",
            name=experiment.name,
            version=target.name,
            config=codec.to_json(experiment.evaluation, versioned=True),
            inputs={"run": manifest.version, **manifest.inputs},
            code=artifact.code_hash("framework"),
            details={"users": dataset.examples("test"), "split": "test"},
        )
    return target


def _scorer(
    model: config.Model, dataset: Dataset, parameters: dict[str, np.ndarray]
) -> evaluate.Scorer:
    chosen = cast(task.Task, model)
    graph = task.structure(chosen, dataset.schema)
    score = jax.jit(lambda values, history: chosen.scores(task.merge(graph, values), history))
    return lambda history: score(parameters, history)


def format_table(results: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Plain text: a column per model, a row per metric of the first, 95 % intervals in brackets."""
    names = list(results)
    rows = [["", *names]]
    for metric in next(iter(results.values())):
        cells = []
        for name in names:
            cell = results[name].get(metric)
            if cell is None:
                cells.append("–")
                continue
            interval = f" [{cell['low']:.4f}, {cell['high']:.4f}]" if "low" in cell else ""
            cells.append(f"{cell['value']:.4f}{interval}")
        rows.append([metric, *cells])
    widths = [max(len(row[i]) for row in rows) for i in range(len(names) + 1)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
