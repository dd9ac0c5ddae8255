"""What teachers say: runs, of this workdir or another, whose models know more than a student.

Models that have a state after each item (FactorsEach) read a history once; any other
recommender is asked for each of its beginnings. Histories longer than a model reads are cut into
stretches that overlap by half, so that each item is seen behind half a length of others at least.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jaxtyping import Array, Float, Int

from podway.framework import artifact, config, task
from podway.framework.embedding.lookup import EmbeddedRows
from podway.framework.error import ConfigError, check
from podway.framework.input.batches import evaluation_batches
from podway.framework.input.columns import Arrays, Ragged, elapsed
from podway.framework.input.dataset import Dataset
from podway.framework.metrics import top_k
from podway.framework.models.parts.history import item_logits
from podway.framework.runs import run
from podway.framework.schema.schema import FIRST_VALUE, PADDING, Schema

PUBLISHED = "assets.extra/export.json"
"""The manifest of a published model, which says what run it was made of."""
FIRST = "first"
"""The name of the run that a chain of steps began with."""
SCORES, HISTORIES = 1 << 24, 256
"""Scores that exist at once, and histories that are read at once, at most."""
VALIDATED = 64
"""Users of the validation split at a time."""
SHORTEST = 16
"""Histories are padded to this, or twice as much, and so on: so many programs are compiled."""


@runtime_checkable
class FactorsEach(Protocol):
    """A recommender that has a vector of the history after each of its items, in one pass."""

    def factors_each(
        self,
        module: Any,
        batch: task.Batch,
        rows: Mapping[str, EmbeddedRows],
        context: task.ForwardContext = task.SERVING,
    ) -> tuple[Float[Array, "batch length width"], Any]:
        """What `scores` would multiply if the history ended with each item: the vectors; the
        items'."""
        ...


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


Ask = Callable[[task.Parameters, task.Batch], Callable[[Array], Float[Array, "batch rows"]]]
"""(parameters, histories) → place in them → logits of what comes after it."""


def asking(model: config.Model, schema: Schema) -> Ask:
    """How a recommender is asked. Its scores are taken for logits."""
    recommender = task.of_kind(model, task.Recommender)
    if isinstance(recommender, FactorsEach):
        states = task.inference(recommender, schema, recommender.factors_each)

        def ask_once(parameters: task.Parameters, batch: task.Batch) -> Callable[[Array], Array]:
            query, table = states(parameters, batch, task.SERVING)
            return lambda at: item_logits(query[:, at], table, schema["item"].size)

        return ask_once
    scores = task.inference(recommender, schema, recommender.scores)

    def ask_each(parameters: task.Parameters, batch: task.Batch) -> Callable[[Array], Array]:
        def after(at: Array) -> Array:
            seen = jnp.arange(batch["item"].shape[1]) <= at
            read = {name: jnp.where(seen, column, PADDING) for name, column in batch.items()}
            return top_k.exclude(scores(parameters, read, task.SERVING), None, schema["item"].size)

        return after

    return ask_each


def length_of(teachers: Sequence[Teacher], schema: Schema) -> int:
    """Items of a history that all of them read."""
    longest = schema["item"].max_length
    return min(getattr(each.experiment.model, "max_length", longest) for each in teachers)


def soft_targets(
    teachers: Sequence[Teacher],
    dataset: Dataset,
    *,
    top: int,
    temperature: float,
) -> Callable[[int], Arrays]:
    """A function: number of a train block → "ids" i32 and "log_probabilities" f32, [items, top],
    and "lengths", [examples].

    After each item of each history, the most probable next items by the mean of the teachers'
    probabilities, each of its softmax of logits · sharpness / temperature.
    Nothing is computed before the first block is asked for.
    """
    schema = dataset.schema
    asked = [asking(each.experiment.model, schema) for each in teachers]
    on_device = jax.device_put([each.parameters for each in teachers])
    length, blocks = length_of(teachers, schema), dataset.blocks("train")
    timed = any(each.experiment.model.reads_times() for each in teachers)
    names = ["item", "time"] if timed else ["item"]

    @functools.cache
    def factors() -> np.ndarray:
        found = [sharpness(each, dataset, VALIDATED) for each in teachers]
        return np.array(found, np.float32) / np.float32(temperature)

    @jax.jit
    def say(
        parameters: list[task.Parameters], batch: task.Batch, factors: Array
    ) -> tuple[Array, Array]:
        after = [ask(own, batch) for ask, own in zip(asked, parameters, strict=True)]

        def at(place: Array) -> tuple[Array, Array]:
            logs = [
                jax.nn.log_softmax(each(place).astype(jnp.float32) * factor, axis=-1)
                for each, factor in zip(after, factors, strict=True)
            ]
            mean = jax.nn.logsumexp(jnp.stack(logs), axis=0) - jnp.log(len(logs))
            return jax.lax.top_k(mean, top)

        values, ids = jax.lax.map(at, jnp.arange(batch["item"].shape[1]))
        return ids.swapaxes(0, 1).astype(jnp.int32), values.swapaxes(0, 1)

    def of_block(block: int) -> Arrays:
        columns = blocks.read(np.array([block]), names)
        lists = {name: column for name, column in columns.items() if isinstance(column, Ragged)}
        if "time" in lists:
            lists["time"] = elapsed(lists["time"])
        offsets = lists["item"].offsets
        ids = np.zeros((int(offsets[-1]), top), np.int32)
        logs = np.zeros((int(offsets[-1]), top), np.float32)
        cut = stretches(offsets, length)
        order = np.argsort(cut[:, 1] - cut[:, 0], kind="stable")
        rows = min(HISTORIES, max(1, SCORES // schema["item"].size))
        for chosen in np.split(cut[order], range(rows, len(cut), rows)):
            begin, end, new = chosen.T
            width = SHORTEST
            while width < (end - begin).max():
                width *= 2
            width = min(width, max(length, SHORTEST))
            at = begin[:, None] + np.arange(width)
            inside = at < end[:, None]
            batch = {
                name: np.where(inside, column.values[np.where(inside, at, 0)], PADDING)
                for name, column in lists.items()
            }
            filled = _power_of_two(len(chosen), rows) - len(chosen)
            batch = {name: np.pad(each, ((0, filled), (0, 0))) for name, each in batch.items()}
            said = jax.device_get(say(on_device, batch, factors()))
            said = [each[: len(chosen)] for each in said]
            kept = inside & (at >= new[:, None])
            ids[at[kept]], logs[at[kept]] = said[0][kept], said[1][kept]
        # What is no item, where a teacher knows fewer than `top`, teaches nothing.
        ids = np.where(np.isfinite(logs) & (ids >= FIRST_VALUE), ids, PADDING)
        logs = np.where(ids == PADDING, 0.0, logs).astype(np.float32)
        return {"ids": ids, "log_probabilities": logs, "lengths": np.diff(offsets)}

    return of_block


def _power_of_two(count: int, most: int) -> int:
    return min(most, 1 << (count - 1).bit_length())


def stretches(offsets: Int[np.ndarray, " borders"], length: int) -> Int[np.ndarray, "stretches 3"]:
    """Lists of values, cut into stretches of at most `length`: where each begins and ends, and from
    where on it has what none before it had."""
    return np.array(list(_stretches(offsets, length)), np.int64).reshape(-1, 3)


def _stretches(offsets: np.ndarray, length: int) -> Iterator[tuple[int, int, int]]:
    step = max(1, length // 2)
    for begin, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        new = begin
        while new < end:
            last = min(end, begin + length if new == begin else new + step)
            yield max(begin, last - length), last, new
            new = last


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
