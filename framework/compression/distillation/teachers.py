"""Who teaches: runs, of this workdir or another, whose models know more than a student."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jaxtyping import Array, Float

from podway.framework import artifact, config, task
from podway.framework.error import ConfigError, check
from podway.framework.input.batches import evaluation_batches
from podway.framework.input.dataset import Dataset
from podway.framework.metrics import top_k
from podway.framework.runs import run
from podway.framework.schema.schema import FIRST_VALUE, Schema

PUBLISHED = "assets.extra/export.json"
"""The manifest of a published model, which says what run it was made of."""
FIRST = "first"
"""The name of the run that a chain of steps began with."""
VALIDATED = 64
"""Users of the validation split at a time."""


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A run that teaches.

    Attributes:
      folder: of the run.
      experiment: whose it is.
      version: of the run.
      parameters: of its selected step.
    """

    folder: epath.Path
    experiment: config.Experiment
    version: str
    parameters: dict[str, np.ndarray]


def found(names: Sequence[str], before: epath.Path, dataset: Dataset) -> list[Teacher]:
    """The teachers: folders of runs or of published models, "NAME/RUN" for one of the workdir,
    FIRST, or, without names, the run before. Raises ConfigError where one is of other items."""
    workdir = before.parent.parent.parent
    runs = [_first(before) if name == FIRST else _run(name, workdir) for name in names] or [before]
    return [_open(folder, dataset) for folder in runs]


def _first(before: epath.Path) -> epath.Path:
    while parent := artifact.read_manifest(before, "run").inputs.get(run.PARENT):
        before = before.parent / parent
    return before


def _run(name: str, workdir: epath.Path) -> epath.Path:
    places = [workdir / "runs" / name, workdir / "models" / name, epath.Path(name)]
    for place in places:
        if artifact.exists(place):
            return place
        if (place / PUBLISHED).exists():
            manifest = artifact.read_manifest(place, "model", manifest=PUBLISHED)
            folder = place.parent.parent.parent / "runs" / place.parent.name
            folder = folder / manifest.inputs["run"]
            check(
                artifact.exists(folder),
                f"compression.teachers: the run {folder}, of which the published model {place} was"
                " made, is gone; keep it, or train the student from another teacher",
            )
            return folder
    raise ConfigError(
        f"compression.teachers: {name!r} is no finished run and no published model; there is none"
        f" in {', '.join(map(str, places))}"
    )


def _open(folder: epath.Path, dataset: Dataset) -> Teacher:
    experiment, manifest, parameters = run.load(folder)
    same = manifest.inputs["dataset"] == dataset.manifest.version
    check(
        same,
        f"compression.teachers: {folder} was trained on the dataset {manifest.inputs['dataset']},"
        f" and the student reads {dataset.manifest.version}: ids of items may differ; train the"
        " teacher on this one",
    )
    return Teacher(folder, experiment, manifest.version, parameters)


def length_of(teachers: Sequence[Teacher], schema: Schema) -> int:
    """Items of a history that all of them read."""
    longest = schema["item"].max_length
    return min(getattr(each.experiment.model, "max_length", longest) for each in teachers)


def columns_of(teachers: Sequence[Teacher]) -> list[str]:
    """Columns of a history that they read."""
    return ["item", "time"] if any(t.experiment.model.reads_times() for t in teachers) else ["item"]


def sharpness_of(
    teachers: Sequence[Teacher], dataset: Dataset
) -> Callable[[], Float[np.ndarray, " teachers"]]:
    """A function () → the sharpness of each, which is found when it is first called."""

    @functools.cache
    def found() -> np.ndarray:
        return np.array([sharpness(each, dataset, VALIDATED) for each in teachers], np.float32)

    return found


def sharpness(teacher: Teacher, dataset: Dataset, batch_size: int) -> float:
    """By what scores are multiplied, so that their softmax is as likely as can be on the validation
    split: of a fitted model a power of √2; 1 for one that was trained, whose scores are logits."""
    model = teacher.experiment.model
    if not isinstance(model, task.FittedModel):
        return 1.0
    schema = dataset.schema
    infer = task.inference(model, schema, model.scores)
    factors = 2.0 ** np.arange(-8, 16.5, 0.5)

    @jax.jit
    def surprise(parameters: task.Parameters, batch: task.Batch) -> Array:
        read = {"item": batch["history"]} | ({"time": batch["time"]} if "time" in batch else {})
        scores = top_k.exclude(infer(parameters, read, task.SERVING), None, schema["item"].size)
        own = batch["valid"] & (batch["target"] >= FIRST_VALUE)

        def at(factor: Array) -> Array:
            nats = top_k.negative_log_likelihood(
                scores * factor, batch["target"], schema["item"].size
            )
            return jnp.where(own, nats, 0.0).sum()

        return jax.lax.map(at, jnp.asarray(factors, jnp.float32))

    total, on_device = np.zeros(len(factors)), jax.device_put(teacher.parameters)
    for batch in evaluation_batches(
        dataset,
        "validation",
        history=schema["item"].max_length,
        batch_size=batch_size,
        times=model.reads_times(),
    ):
        total += np.asarray(surprise(on_device, jax.device_put(batch)), np.float64)
    check(
        bool(np.isfinite(total).any()),
        f"compression.teachers: the scores of {teacher.folder} make no probabilities",
    )
    return float(factors[np.nanargmin(np.where(np.isfinite(total), total, np.nan))])
