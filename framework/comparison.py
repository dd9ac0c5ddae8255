"""The evaluation artefact: a run beside its baselines on the test split, in one table."""

import json
from collections.abc import Mapping
from typing import cast

import jax
from etils import epath

from framework import artifact, codec, config, run, task
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
    """Judges the run's selected checkpoint and each baseline on the test split.

    Returns the artefact's directory, with table.json and table.txt. Raises ArtifactError.
    """
    _, manifest, parameters = run.load(trained)
    target = directory(experiment, manifest, workdir)
    if artifact.exists(target):
        return target
    model = cast(task.Task, experiment.model)
    graph = task.structure(model, dataset.schema)
    judge = experiment.model.judge(experiment.evaluation)
    compute = jax.jit(
        lambda values, batch: judge.compute(task.merge(graph, values), batch, task.SERVING)
    )
    own, examine = type(model).__name__, judge.examiner(dataset, "test")
    table: Table = {own: examine(lambda batch: compute(parameters, batch), f"test {own}")}
    for name, baseline in judge.baselines(dataset).items():
        table[name] = examine(baseline, f"test {name}", baseline=True)
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
            details={"examples": dataset.examples("test"), "split": "test"},
        )
    return target


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
