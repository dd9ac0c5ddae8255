"""A run: where it lies, what identifies it, how it is committed and loaded."""

import json
from typing import Any

from etils import epath

from framework import artifact, checkpoint, codec, config, report
from framework.input import Arrays, Dataset

_LATEST = "latest"
"""File beside an experiment's runs: the version of the one committed last."""


def identity(experiment: config.Experiment) -> dict[str, Any]:
    """The part of an experiment that shapes a run, as versioned JSON."""
    parts = codec.to_json(experiment, versioned=True)
    selection = {"selection": selection_metric(experiment)}
    return {name: parts[name] for name in ("model", "optimizer", "trainer")} | selection


def selection_metric(experiment: config.Experiment) -> str:
    """The validation metric that chooses the best checkpoint."""
    return f"ndcg@{experiment.evaluation.cutoffs[0]}"


def directory(experiment: config.Experiment, dataset: str, workdir: epath.PathLike) -> epath.Path:
    """runs/NAME/RUN for this experiment on this version of the dataset."""
    version = artifact.version(
        kind="run",
        config=identity(experiment),
        inputs={"dataset": dataset},
        code=artifact.code_hash("framework"),
    )
    return epath.Path(workdir) / "runs" / experiment.name / version


def open_checkpoints(
    experiment: config.Experiment, dataset: str, directory: epath.Path
) -> checkpoint.Checkpoints:
    """The checkpoints of a run of this experiment on this version of the dataset."""
    return checkpoint.Checkpoints(
        directory / "checkpoints",
        {"dataset": dataset, **identity(experiment)},
        keep=experiment.trainer.keep_checkpoints,
        metric=selection_metric(experiment),
    )


def commit(experiment: config.Experiment, dataset: Dataset, directory: epath.Path) -> None:
    """Writes the report and commits the run, with its best step by validation."""
    checkpoints = open_checkpoints(experiment, dataset.manifest.version, directory)
    selected = checkpoints.best()
    judged = checkpoints.metrics(selected) if selected is not None else {}
    checkpoints.close()
    title = f"{experiment.name} {directory.name}"
    report.write(directory / "report.html", title, directory / "metrics.jsonl")
    artifact.commit(
        directory,
        kind="run",
        name=experiment.name,
        version=directory.name,
        config=identity(experiment),
        inputs={"dataset": dataset.manifest.version},
        code=artifact.code_hash("framework"),
        details={"selected_step": selected, "validation": judged},
    )
    artifact.write_atomically(directory.parent / _LATEST, f"{directory.name}\n")


def difference_to_latest(experiment: config.Experiment, directory: epath.Path) -> str | None:
    """Where an experiment, whose run would be `directory`, differs from the last one committed."""
    pointer = directory.parent / _LATEST
    if not pointer.exists():
        return None
    latest = directory.parent / pointer.read_text().strip() / "experiment.json"
    return codec.difference(codec.to_json(experiment), json.loads(latest.read_text()))


def load(directory: epath.PathLike) -> tuple[config.Experiment, artifact.Manifest, Arrays]:
    """The experiment, manifest and selected parameters (NumPy) of a committed run."""
    directory = epath.Path(directory)
    manifest = artifact.read(directory, "run")
    experiment = codec.from_json(
        config.Experiment, json.loads((directory / "experiment.json").read_text())
    )
    selected = manifest.details["selected_step"]
    return experiment, manifest, checkpoint.load_parameters(directory / "checkpoints", selected)
