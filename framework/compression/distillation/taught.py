"""Datasets with the lessons of teachers, in folders whose names say what they are of."""

import hashlib
import json
import pathlib
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from podway.framework import task
from podway.framework.code import sources
from podway.framework.compression.distillation import (
    histories,
    lessons,
    row_teachers,
    soft_targets,
    states,
    teachers,
)
from podway.framework.compression.distillation.lessons import LESSON
from podway.framework.compression.distillation.student import IDS, LOG_PROBABILITIES, LOGITS, STATES
from podway.framework.compression.distillation.teachers import Teacher
from podway.framework.input.dataset import Dataset
from podway.framework.schema.schema import FIRST_VALUE, Feature


def with_logits(
    found: Sequence[Teacher], model: task.LabelModel, dataset: Dataset, workdir: epath.Path
) -> Dataset:
    """The dataset with the teachers' logits of the model's labels."""
    say = row_teachers.logits(found, model, dataset)
    about = {"labels": [[head.label, head.outputs] for head in model.objectives]}
    about |= _about(found, dataset, row_teachers)
    feature = Feature(LOGITS, LESSON, "float32", shape=(model.outputs,))
    compute = _named(say, {"logits": LOGITS})
    return lessons.teach(dataset, _folder(workdir, about), (feature,), about, compute)


def with_targets(
    found: Sequence[Teacher], dataset: Dataset, workdir: epath.Path, top: int, temperature: float
) -> Dataset:
    """The dataset with the `top` most probable next items after each item."""
    top = min(top, dataset.schema["item"].size - FIRST_VALUE)
    say = soft_targets.soft_targets(found, dataset, top=top, temperature=temperature)
    about = {"temperature": temperature, "top": top}
    about |= _about(found, dataset, histories, states, soft_targets)
    columns = (
        Feature(IDS, LESSON, "int32", True, shape=(top,)),
        Feature(LOG_PROBABILITIES, LESSON, "float32", True, shape=(top,)),
    )
    compute = _named(say, {"ids": IDS, "log_probabilities": LOG_PROBABILITIES})
    return lessons.teach(dataset, _folder(workdir, about), columns, about, compute)


def with_states(
    found: Sequence[Teacher], dataset: Dataset, workdir: epath.Path, field: str
) -> Dataset:
    """The dataset with each teacher's state after each item, and its items' vectors beside them.

    Raises ConfigError, which names the `field` that asks for it, where a teacher has none.
    """
    schema, names = dataset.schema, [f"{STATES}{number}" for number in range(len(found))]
    read = states.readings(found, schema, field)
    widths = states.widths(found, read)
    about = {"states": widths} | _about(found, dataset, histories, states)
    columns = tuple(
        Feature(name, LESSON, "float32", True, shape=(width,))
        for name, width in zip(names, widths, strict=True)
    )
    folder = _folder(workdir, about)
    lessons.keep(folder, lambda: states.tables(found, schema, read, names))
    say = states.states(found, dataset, read, names)
    return lessons.teach(dataset, folder, columns, about, say)


def _about(
    found: Sequence[Teacher], dataset: Dataset, *modules: types.ModuleType
) -> dict[str, Any]:
    """What lessons of these teachers are of, whichever they are; `modules` compute them."""
    digest = hashlib.sha256()
    for module in (teachers, lessons, *modules):
        digest.update(pathlib.Path(str(module.__file__)).read_bytes())
    for each in found:
        digest.update(sources.code("run", each.experiment).encode())
    return {
        "dataset": dataset.manifest.version,
        "teachers": [each.version for each in found],
        "code": digest.hexdigest()[:16],
    }


def _folder(workdir: epath.Path, about: Mapping[str, Any]) -> epath.Path:
    name = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    return workdir / lessons.FOLDER / name


def _named(
    say: Callable[[int], Mapping[str, np.ndarray]], names: Mapping[str, str]
) -> Callable[[int], dict[str, np.ndarray]]:
    """The same function, its columns called as the dataset calls them."""
    return lambda block: {names.get(name, name): each for name, each in say(block).items()}
