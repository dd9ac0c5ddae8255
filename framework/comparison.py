"""The evaluation artefact: a run beside its baselines on the test split, in one table."""

import json
from collections.abc import Mapping, Sequence
from typing import cast

import jax
import numpy as np
from etils import epath

from framework import artifact, codec, config, evaluate, run, slices, task
from framework.input import Dataset
from framework.interactions import train_counts
from framework.models.popularity import Popularity
from framework.models.sequence_knn import SequenceKnn

BASELINES: dict[str, task.Fitted] = {"popularity": Popularity(), "seq-KNN": SequenceKnn()}
"""Beside which each model is shown."""

Table = dict[str, dict[str, dict[str, float]]]
"""{model: {metric@k: {"value", "low", "high"}}}; for slices "metric@k [slice]", with "users"."""

RANKS = "ranks.npz"
"""Per model, by its name in the table, the ranks of the targets in the order of the test split."""

SAMPLED = "sampled_*: among {} random items; comparable neither with the other rows nor with\
 other papers' (Krichene & Rendle 2020)."


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

    Returns the artefact's directory, with table.json, table.txt and RANKS. Raises ArtifactError.
    """
    _, manifest, parameters = run.load(trained)
    target = directory(experiment, manifest, workdir)
    if artifact.exists(target):
        return target
    model, counts = cast(task.Recommender, experiment.model), train_counts(dataset)
    options = experiment.evaluation
    models = {own_name(experiment): (model, parameters)}
    for name, baseline in BASELINES.items():
        if baseline != model:
            models[name] = (baseline, baseline.fit(dataset, experiment.trainer.seed))
    table: Table = {}
    ranks: dict[str, np.ndarray] = {}
    for name, (each, values) in models.items():
        scores = scorer(each, dataset, values, factored=options.block is not None)
        judged = evaluate.rank_split(scores, dataset, "test", options, f"test {name}")
        logits = not isinstance(each, task.Fitted)
        table[name] = evaluate.summarize(judged, options, counts, likelihood=logits)
        table[name] |= slices.summarize(judged, options, counts)
        ranks[name] = judged.target.astype(np.int32)
    text = format_table(table)
    if options.sampled_negatives:
        text += f"\n{SAMPLED.format(options.sampled_negatives)}"
    with artifact.staging(target) as stage:
        (stage / "table.json").write_text(json.dumps(table, indent=1))
        (stage / "table.txt").write_text(text + "\n")
        with (stage / RANKS).open("wb") as file:
            np.savez(file, allow_pickle=False, **ranks)
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


def read_ranks(directory: epath.PathLike) -> dict[str, np.ndarray]:
    """What RANKS of an evaluation holds. Raises ArtifactError."""
    artifact.read(directory, "evaluation")
    with (epath.Path(directory) / RANKS).open("rb") as file, np.load(file) as stored:
        return dict(stored)


def own_name(experiment: config.Experiment) -> str:
    """What the experiment's own model is called in the table."""
    return type(experiment.model).__name__


def scorer(
    model: task.Recommender,
    dataset: Dataset,
    parameters: Mapping[str, np.ndarray],
    *,
    factored: bool = False,
) -> evaluate.Scorer:
    """The scores of a model with these parameters; if asked, as their factors where it has them."""
    graph, on_device = task.structure(model, dataset.schema), jax.device_put(dict(parameters))
    how = model.factors if factored and isinstance(model, task.Factored) else model.scores
    score = jax.jit(lambda values, history: how(task.merge(graph, values), history))
    return lambda history: score(on_device, history)


def format_table(results: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Plain text: a column per model, a row per metric of the first, 95 % intervals in brackets.

    NDCG by slices comes last, with the number of users of each.
    """
    names, first = list(results), next(iter(results.values()))
    rows = [["", *names]]
    for metric, cell in first.items():
        if metric.startswith("hr@") and "users" in cell:
            continue
        users = f" ({cell['users']:,} users)" if "users" in cell else ""
        rows.append([metric + users, *(_cell(results[name].get(metric)) for name in names)])
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as text, each column as wide as it needs to be."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _cell(cell: Mapping[str, float] | None) -> str:
    if cell is None:
        return "–"
    interval = f" [{cell['low']:.4f}, {cell['high']:.4f}]" if "low" in cell else ""
    return f"{cell['value']:.4f}{interval}"
