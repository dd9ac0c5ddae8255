"""The evaluation artefact: a run beside its baselines on the test split, in one table."""

from collections.abc import Mapping, Sequence

import numpy as np
from etils import epath

from podway.framework import artifact, codec, config
from podway.framework.artifact import upgrade
from podway.framework.code import sources
from podway.framework.evaluation import samples, slices
from podway.framework.evaluation.evaluator import answers
from podway.framework.evaluation.evaluators import evaluator_of
from podway.framework.input.batches import Dataset
from podway.framework.report import artefacts
from podway.framework.report import evaluation as page
from podway.framework.runs import records, run

Table = dict[str, dict[str, dict[str, float]]]
"""{model: {metric@k: {"value", "low", "high"}}}; for slices "metric@k [slice]", with "users"."""

RANKS = "ranks.npz"
"""Per model, by its name in the table, the ranks of the targets in the order of the test split."""


def directory(
    experiment: config.Experiment,
    trained: artifact.Manifest,
    workdir: epath.PathLike,
    choice: upgrade.Choice | None = None,
) -> epath.Path:
    """evaluations/NAME/VERSION for this run.

    `choice` says what becomes of an evaluation by other code; raises upgrade.CodeChanged.
    """
    code = sources.code("evaluation", experiment)
    version = artifact.version(
        kind="evaluation",
        config=codec.to_json(experiment.evaluation, versioned=True),
        inputs={"run": trained.version, **trained.inputs},
        code=code,
    )
    target = epath.Path(workdir) / "evaluations" / experiment.name / version
    return upgrade.choose(target, "evaluation", code, choice)


def compare(
    experiment: config.Experiment,
    trained: epath.Path,
    dataset: Dataset,
    workdir: epath.PathLike,
    choice: upgrade.Choice | None = None,
) -> epath.Path:
    """Evaluates the run's selected checkpoint and each baseline on the test split.

    Returns the artefact's directory, with table.json, table.txt and table.html, RANKS, and what
    the model recommends to some users. Raises ArtifactError, and CodeChanged (see `directory`).
    """
    _, manifest, parameters = run.load(trained, experiment)
    target = directory(experiment, manifest, workdir, choice)
    if artifact.exists(target):
        return target
    evaluator, results = evaluator_of(experiment.model, experiment.evaluation), {}
    evaluate = evaluator.for_split(dataset, "test")
    for name, model in {
        own_name(experiment): experiment.model,
        **experiment.model.beside(),
    }.items():
        said = answers(evaluator_of(model, experiment.evaluation), dataset.schema, parameters)
        results[name] = evaluate(said, f"test {name}")
    for name, baseline in evaluator.baselines(dataset, experiment.trainer.seed).items():
        results[name] = evaluate(baseline, f"test {name}", baseline=True)
    table = {name: result.metrics for name, result in results.items()}
    ranks = {name: result.ranks for name, result in results.items() if result.ranks is not None}
    remarks = [*filter(None, [evaluator.remark, invalid_remark(table)])]
    text = "\n".join([format_table(table), *remarks])
    with artifact.staging(target) as stage:
        (stage / artefacts.TABLE).write_text(codec.json_text(table, indent=1))
        (stage / "table.txt").write_text(text + "\n")
        with (stage / RANKS).open("wb") as file:
            np.savez(file, allow_pickle=False, **ranks)
        own = results[own_name(experiment)]
        if own.ranks is not None and own.lists is not None:
            users = samples.describe(dataset, "test", own.ranks, own.lists)
            (stage / artefacts.SAMPLES).write_text(codec.json_text({"users": users}, indent=1))
        page.write(
            stage,
            title=f"{experiment.name}: evaluation of run {manifest.version}",
            selection=evaluator.metric,
            about=[
                f"dataset {dataset.manifest.name} {dataset.manifest.version}",
                f"{dataset.examples('test'):,} test examples",
            ],
            remarks=remarks,
            run=artefacts.address(epath.Path(trained) / records.PAGE, target),
        )
        artifact.commit(
            stage,
            kind="evaluation",
            name=experiment.name,
            version=target.name,
            config=codec.to_json(experiment.evaluation, versioned=True),
            inputs={"run": manifest.version, **manifest.inputs},
            code=sources.code("evaluation", experiment),
            details={"examples": dataset.examples("test"), "split": "test"},
        )
    return target


def read_ranks(directory: epath.PathLike) -> dict[str, np.ndarray]:
    """What RANKS of an evaluation holds. Raises ArtifactError."""
    artifact.read(directory, "evaluation")
    with (epath.Path(directory) / RANKS).open("rb") as file, np.load(file) as stored:
        return dict(stored)


def invalid_remark(table: Table) -> str:
    """A warning where answers were not finite numbers; empty where all were."""
    names = [
        name
        for name, row in table.items()
        if any(metric.rpartition("/")[2].startswith("invalid_") for metric in row)
    ]
    return (
        f"invalid_*: of {', '.join(names)} some answers are not finite numbers; an item with such a"
        " score is in no list, and a label with such a prediction has no metrics."
        if names
        else ""
    )


def own_name(experiment: config.Experiment) -> str:
    """What the experiment's own model is called in the table."""
    return type(experiment.model).__name__


def format_table(results: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Plain text: a column per model, a row per metric of the first, 95 % intervals in brackets.

    NDCG by slices comes last, of cold targets HR too, with the number of users of each.
    """
    names, first = list(results), next(iter(results.values()))
    rows = [["", *names]]
    for metric, cell in first.items():
        if metric.startswith("hr@") and "users" in cell and slices.COLD not in metric:
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
