"""A run: where it lies, what identifies it, how it is committed and loaded."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from etils import epath

from podway.framework import artifact, codec, config, task
from podway.framework.artifact import upgrade
from podway.framework.code import classes, sources
from podway.framework.embedding import table
from podway.framework.error import ConfigError
from podway.framework.evaluation.evaluators import evaluator_of
from podway.framework.input.batches import Arrays, Dataset
from podway.framework.runs import checkpoint, records
from podway.framework.schema.schema import Schema

_SHOWN = 60
"""Characters of a value that are shown."""
PARENT = "parent"
"""Among the inputs of a run, the one that it goes on from."""
_LATEST = "latest"
"""File beside an experiment's runs: the version of the one committed last."""


def identity(experiment: config.Experiment) -> dict[str, Any]:
    """The part of an experiment that shapes a run, as versioned JSON."""
    parts = codec.to_json(experiment, versioned=True)
    selection = {"selection": evaluator_of(experiment.model, experiment.evaluation).metric}
    weights = {"weights": [component.weight for component in experiment.mixture]}
    shaping = ("model", "optimizer", "trainer", "compression")
    return {name: parts[name] for name in shaping if name in parts} | selection | weights


def inputs(dataset: Dataset, others: Sequence[Dataset] = ()) -> dict[str, str]:
    """The versions of the datasets that a run reads: the experiment's own, and the mixture's."""
    mixed = {f"mixture {at}": other.manifest.version for at, other in enumerate(others)}
    return {"dataset": dataset.manifest.version, **mixed}


def directory(
    experiment: config.Experiment,
    inputs: Mapping[str, str],
    workdir: epath.PathLike,
    choice: upgrade.Choice | None = None,
    *,
    look: bool = False,
) -> epath.Path:
    """runs/NAME/RUN for this experiment on these datasets (see `inputs`).

    `choice` and `look` say what becomes of a run of other code; raises upgrade.CodeChanged.
    """
    code = sources.code("run", experiment)
    version = artifact.version(kind="run", config=identity(experiment), inputs=inputs, code=code)
    target = epath.Path(workdir) / "runs" / experiment.name / version
    return upgrade.choose(
        target, "run", code, choice, begun=lambda run: bool(steps(run)), look=look
    )


def check_code(
    experiment: config.Experiment, directory: epath.Path, choice: upgrade.Choice | None
) -> None:
    """Sees to it that the parameters of a committed run meet the code that they were made by.

    With "keep" they are taken for those of the code that is here now. Raises CodeChanged where that
    is another one, and nobody said so.
    """
    if is_of_this_code(experiment, directory):
        return
    if choice != "keep":
        raise upgrade.CodeChanged(
            f"the run {directory} was made by other code than is here now, which may read its"
            " parameters in another way: give --code keep to use them all the same, or train it"
            " anew with --code new"
        )
    upgrade.accept(directory, "run", sources.code("run", experiment))


def is_of_this_code(experiment: config.Experiment, directory: epath.Path) -> bool:
    """Whether a run was made by the code that is here now, or was kept for it."""
    return sources.code("run", experiment) in upgrade.codes(directory, "run")


def steps(directory: epath.Path) -> list[int]:
    """The steps of a run, finished or not, of which there are checkpoints."""
    folder = directory / "checkpoints"
    names = [child.name for child in folder.iterdir()] if folder.exists() else []
    return sorted(int(name) for name in names if name.isdigit())


def open_checkpoints(
    experiment: config.Experiment, inputs: Mapping[str, str], directory: epath.Path
) -> checkpoint.Checkpoints:
    """The checkpoints of a run of this experiment on these datasets."""
    evaluator = evaluator_of(experiment.model, experiment.evaluation)
    return checkpoint.Checkpoints(
        directory / "checkpoints",
        {**inputs, **identity(experiment)},
        keep=experiment.trainer.keep_checkpoints,
        keep_best=experiment.trainer.keep_best,
        keep_every=experiment.trainer.keep_every,
        metric=evaluator.metric,
        largest_is_best=evaluator.largest_is_best,
    )


@dataclasses.dataclass(frozen=True)
class Selection:
    """The best step of a run by validation, if any was evaluated, and its metrics there."""

    step: int | None
    metrics: dict[str, float]


def select(checkpoints: checkpoint.Checkpoints) -> Selection:
    """The best of the finished checkpoints."""
    best = checkpoints.best()
    return Selection(best, checkpoints.metrics(best) if best is not None else {})


def commit(
    experiment: config.Experiment,
    inputs: Mapping[str, str],
    directory: epath.Path,
    selection: Selection,
    *,
    steps: int,
    early: str = "",
    parent: str = "",
) -> None:
    """Commits the run, with the step that was selected.

    `steps` are those that it has done, `early` says why there are no more; `parent` is the version
    of the run that it goes on from.
    """
    codes = upgrade.codes(directory, "run")
    (directory / records.ENDED).unlink(missing_ok=True)
    artifact.commit(
        directory,
        kind="run",
        name=experiment.name,
        version=directory.name,
        config=identity(experiment),
        inputs={**inputs, **({PARENT: parent} if parent else {})},
        code=codes[0],
        details={
            "steps": steps,
            **({"ended": early} if early else {}),
            "selected_step": selection.step,
            "validation": selection.metrics,
            **({"code": codes} if len(codes) > 1 else {}),
        },
        unlisted=(records.PAGE,),
    )
    make_latest(directory)


def make_latest(directory: epath.Path) -> None:
    """Says of a committed run that it is the one that its experiment's name stands for."""
    artifact.write_atomically(directory.parent / _LATEST, f"{directory.name}\n")


def latest(runs: epath.Path) -> epath.Path | None:
    """The folder of the run that was committed last to runs/NAME, if any."""
    pointer = runs / _LATEST
    return runs / pointer.read_text().strip() if pointer.exists() else None


def shaped_by(
    experiment: config.Experiment, inputs: Mapping[str, str], directory: epath.Path
) -> list[str]:
    """Why the run in `directory` is not the last one committed: "FIELD OLD → NEW" for each field.

    [] where there is none. Fields that shape no run are left out, however they differ.
    """
    last = latest(directory.parent)
    if last is None or not artifact.exists(last):
        return []
    manifest = artifact.read_manifest(last, "run")
    found = list(codec.differences(identity(experiment), manifest.config))
    if dict(inputs) != {name: each for name, each in manifest.inputs.items() if name != PARENT}:
        theirs = json.loads((last / "experiment.json").read_text())
        ours = codec.to_json(experiment)
        parts = ("data", "mixture")
        data = [
            each for part in parts for each in codec.differences(ours[part], theirs[part], part)
        ]
        versions = (inputs["dataset"], manifest.inputs["dataset"])
        found += data or [("the raw data: dataset", *versions)]
    if not found:
        found = [("the code", *(path.name.rpartition("-")[2] for path in (directory, last)))]
    swapped = [path.removesuffix(classes.TYPE) for path, *_ in found if _is_type(path)]
    return [
        f"{path.removesuffix(f'.{classes.TYPE}')} {_text(old)} → {_text(new)}"
        for path, new, old in found
        if _is_type(path) or not path.startswith(tuple(swapped))
    ]


def _is_type(path: str) -> bool:
    return path.endswith(f".{classes.TYPE}")


def _text(value: Any) -> str:
    """A value of a config as one writes it, shortened; of a part the class alone."""
    if isinstance(value, dict):
        return str(value.get(classes.TYPE, "…"))
    plain = isinstance(value, str) and value
    text = value if plain else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def load(
    directory: epath.PathLike, known: config.Experiment | None = None
) -> tuple[config.Experiment, artifact.Manifest, Arrays]:
    """The experiment, manifest and selected parameters (NumPy) of a committed run.

    An experiment that is `known` to be the run's is not read: a user's file may have moved since.
    """
    manifest = artifact.read(directory, "run")
    experiment, _, arrays = read(directory, manifest.details["selected_step"], known)
    return experiment, manifest, arrays


def read(
    directory: epath.PathLike, step: int, known: config.Experiment | None = None
) -> tuple[config.Experiment, Schema, Arrays]:
    """The experiment, the schema that it was trained on, and the parameters (NumPy) of a step.

    Sparse tables are in the order of ids, as an ordinary parameter would be. All is in the host's
    memory alone. Raises CheckpointError.
    """
    if known is None:
        experiment, schema = described(directory)
    else:
        experiment, schema = known, Schema.read(epath.Path(directory) / "schema.json")
    arrays = checkpoint.load_parameters(epath.Path(directory) / "checkpoints", step)
    model = task.of_kind(experiment.model, task.ParametricModel)
    last = experiment.compression[-1] if experiment.compression else None
    if last is None or last.trains:  # what was converted is in the order of ids
        for path, each in model.tables(schema).items():
            arrays[path] = table.to_dense(each, arrays[path])
    if last is not None and last.trains:
        arrays = jax.device_get(config.finished(experiment.compression, arrays))
    return experiment, schema, arrays


def describe(
    experiment: config.Experiment,
    schema: Schema,
    directory: epath.Path,
    inputs: Mapping[str, str],
) -> None:
    """Writes down what a run is of, as `described` reads it, and when it began."""
    text = json.dumps(codec.to_json(experiment))
    artifact.write_atomically(directory / "experiment.json", text)
    schema.write(directory / "schema.json")
    upgrade.accept(directory, "run", sources.code("run", experiment))
    evaluator = evaluator_of(experiment.model, experiment.evaluation)
    records.begin(
        directory,
        inputs=dict(inputs),
        selection=evaluator.metric,
        largest_is_best=evaluator.largest_is_best,
    )


def described(directory: epath.PathLike) -> tuple[config.Experiment, Schema]:
    """The experiment and the schema of a run.

    Raises:
      ArtifactError: it is none.
      ConfigError: the file of a user's class is gone, or the class in it.
    """
    directory = epath.Path(directory)
    if not (directory / "experiment.json").exists():
        raise artifact.ArtifactError(f"{directory} is no run: it has no experiment.json")
    text = (directory / "experiment.json").read_text()
    try:
        experiment = codec.from_json(config.Experiment, json.loads(text))
    except ConfigError as error:
        raise ConfigError(f"{directory} cannot be read back: {error}") from error
    return experiment, Schema.read(directory / "schema.json")
