"""What a served model of rows reads and answers: the JAX side.

    columns of a batch → {label: probability f32 [batch], or of each class [batch, classes]}

For a Regression the answer is the number, in the label's unit. What a client sends are the raw
columns that the events' features are made of, and user and item; what is known of users and items
beside these (attributes, "item.brand") is looked up by id in the graph, in the very table that
training read, so it cannot differ.
"""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from podway.export.contract import Kind
from podway.export.error import ExportError
from podway.framework import config, task
from podway.framework.config.features import Categorical, Gap
from podway.framework.evaluation.labels import LabelEvaluator
from podway.framework.heads import Binary, Classes, Regression
from podway.framework.input import join
from podway.framework.input.batches import batch_shapes
from podway.framework.input.dataset import Dataset
from podway.framework.schema.fitted import FittedTransform, read_transforms
from podway.framework.schema.schema import Schema, Vocabulary


@dataclasses.dataclass(frozen=True)
class Reading:
    """What a model of rows reads, and how it is made of what a client sends.

    Attributes:
      fitted: the columns that clients send: user, item and features of the events.
      vocabularies: of these, by name.
      tables: the other columns, by name, to be looked up.
      columns: all of them, in the order in which the lowered function takes them: shape of one
        row's values and dtype.
      lengths: of lists, by column.
      ranges: lowest and highest number of the train split, by column, where the dataset says them.
    """

    fitted: tuple[FittedTransform, ...]
    vocabularies: dict[str, Vocabulary]
    tables: dict[str, join.AttributeTable]
    columns: dict[str, jax.ShapeDtypeStruct]
    lengths: dict[str, int]
    ranges: dict[str, tuple[float, float]]


def resolve_reading(experiment: config.Experiment, dataset: Dataset) -> Reading:
    """What the experiment's model reads of this dataset.

    Raises ExportError for a feature that one row alone does not tell.
    """
    schema = dataset.schema
    model = task.of_kind(experiment.model, task.LabelModel)
    lengths = LabelEvaluator(model, experiment.evaluation).lengths(schema)
    shapes = batch_shapes(schema, lengths, 1)
    raw = experiment.data.columns
    ids = {"user": raw.user, "item": raw.item}
    known = {
        role: FittedTransform(Categorical(role, column=column), "events", role, schema[role].size)
        for role, column in ids.items()
        if column is not None
    }
    known |= {
        feature.transform.name: feature
        for feature in read_transforms(dataset.directory / "transform.json")
        if feature.table == "events"
    }
    fitted = tuple(known[name] for name in lengths if not join.is_joined(name))
    for feature in fitted:
        if isinstance(feature.transform, Gap):
            raise ExportError(
                f"the model reads {feature.transform.name!r}, a Gap, which one row alone does not"
                " tell: train it with model.without naming it"
            )
    names = {feature.vocabulary for feature in fitted if feature.vocabulary is not None}
    return Reading(
        fitted=fitted,
        vocabularies={name: dataset.vocabulary(name) for name in sorted(names)},
        tables=join.attribute_tables(dataset, lengths),
        columns={
            name: jax.ShapeDtypeStruct(shape[1:], dtype) for name, (shape, dtype) in shapes.items()
        },
        lengths=lengths,
        ranges=_ranges(dataset),
    )


def _ranges(dataset: Dataset) -> dict[str, tuple[float, float]]:
    path = dataset.directory / "statistics.json"
    if not path.exists():
        return {}
    features = json.loads(path.read_text())["splits"].get("train", {})
    return {
        name: (found["min"], found["max"])
        for name, found in features.items()
        if found.get("kind") == "number" and found.get("min") is not None
    }


def function(model: config.Model, schema: Schema, columns: tuple[str, ...]) -> Callable[..., Any]:
    """The function (parameters, *columns) → the answer to each objective, in order; pure."""
    predictor = task.of_kind(model, task.LabelModel)
    infer = task.inference(predictor, schema, predictor.predict)

    def answer(parameters: task.Parameters, *values: jax.Array) -> tuple[jax.Array, ...]:
        batch = dict(zip(columns, values, strict=True))
        logits = infer(parameters, batch, task.SERVING)
        return tuple(head.answer(logits[head.label]) for head in predictor.objectives)

    return answer


def labels(model: config.Model) -> dict[str, Kind]:
    """What kind of label is answered, in the order of the answers."""
    kinds: dict[type, Kind] = {Binary: "binary", Classes: "classes", Regression: "number"}
    objectives = task.of_kind(model, task.LabelModel).objectives
    return {head.label: kinds[type(head)] for head in objectives}


def look_up(reading: Reading, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns in the order of `reading.columns`, of those that clients send."""
    joined = {name: lookup(values) for name, lookup in reading.tables.items()}
    return {name: (values | joined)[name] for name in reading.columns}
