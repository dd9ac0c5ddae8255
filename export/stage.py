"""The export stage: parameters → a verified, published model."""

import dataclasses
import pathlib
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import tensorflow as tf
from etils import epath

from podway.export import contract, quiet
from podway.export import identity as model
from podway.export import jax_extras as beside
from podway.export.error import ExportError
from podway.export.graph import classify_regress as predictor_signatures
from podway.export.graph import recommender as signatures
from podway.export.graph import saved_model
from podway.export.graph.classify_regress import EXAMPLES, SIGNATURE, write_methods
from podway.export.graph.labels import Predictor
from podway.export.lowering import labels as predict
from podway.export.lowering import recommender as recommend
from podway.export.lowering import stablehlo
from podway.export.verification import cases_labels as golden_rows
from podway.export.verification import cases_recommender as golden
from podway.export.verification import verify, warmup
from podway.export.versions import promote as versions
from podway.export.versions import publish
from podway.framework import config, task
from podway.framework.code import sources
from podway.framework.input.dataset import Dataset
from podway.framework.schema.schema import Schema, Vocabulary


def export_kind(
    experiment: config.Experiment,
    *,
    dataset: Dataset,
    parameters: dict[str, np.ndarray],
    inputs: Mapping[str, str],
    workdir: epath.PathLike,
) -> epath.Path:
    """Exports a model as what it is: a predictor of labels, or a recommender; see these."""
    given: Any = {"parameters": parameters, "inputs": inputs, "workdir": workdir}
    if isinstance(experiment.model, task.LabelModel):
        return export_predictor(experiment, dataset=dataset, **given)
    vocabulary = dataset.vocabulary("item")
    return export(experiment, schema=dataset.schema, vocabulary=vocabulary, **given)


def export(
    experiment: config.Experiment,
    *,
    schema: Schema,
    vocabulary: Vocabulary,
    parameters: dict[str, np.ndarray],
    inputs: Mapping[str, str],
    workdir: epath.PathLike,
) -> epath.Path:
    """Lowers, writes, verifies and publishes a recommender; it is served from then on.

    Args:
      experiment: its `model` and `export` say what to export, `name` what to call it, and
        evaluation.exclude_seen whether seen items may be in the answer.
      schema: of the dataset that the model was trained on.
      vocabulary: of its items.
      parameters: by path, as podway.framework.task.merge takes them.
      inputs: versions of the artefacts that this is made from, by kind.
      workdir: models/ lies in it.

    Returns models/NAME/VERSION. Raises ConfigError, ExportError, OSError; then nothing is published
    and nothing left behind.
    """
    name, items = experiment.name, schema["item"].size
    if len(vocabulary) != items:
        raise ExportError(
            f"the item vocabulary has {len(vocabulary)} rows, the schema says {items}"
        )
    recommend.check_parameters(experiment.model, schema, parameters)
    seen = experiment.evaluation.exclude_seen
    times = experiment.model.reads_times()
    agreed = contract.resolve(experiment.export, schema, exclude_seen=seen, times=times)
    function = recommend.recommend(experiment.model, schema, agreed.top_k, exclude_seen=seen)
    common = parameters, agreed.max_history, agreed.target
    program, filtered = stablehlo.lower(function, *common, times=times), None
    if agreed.candidate_filter:
        filtered = stablehlo.lower(function, *common, items, times=times)
    names = signatures.names(agreed)

    def write(built: pathlib.Path) -> dict[str, Any]:
        with quiet.quiet():
            tf.config.set_visible_devices([], "GPU")  # they are JAX's
            saved_model.write(built, program, filtered, parameters, vocabulary, agreed)
            warmup.write(built, name, vocabulary, agreed.batch_buckets, names, times=times)
        golden.write(built, experiment.model, schema, vocabulary, parameters, agreed)
        history = jax.ShapeDtypeStruct((agreed.max_history,), np.int32)
        columns = [history] * (1 + times)
        beside.write(built, experiment.export.beside, function, parameters, columns)
        return dataclasses.asdict(agreed) | {
            "signatures": list(names),
            "padding": signatures.padding(agreed),
        }

    return _publish(experiment, write, inputs, workdir)


def export_predictor(
    experiment: config.Experiment,
    *,
    dataset: Dataset,
    parameters: dict[str, np.ndarray],
    inputs: Mapping[str, str],
    workdir: epath.PathLike,
) -> epath.Path:
    """The same for a model of labels of rows (podway.framework.task.LabelModel).

    Args:
      experiment: its `model` and `export` say what to export, `name` what to call it, and
        `data.columns` what clients call user and item.
      dataset: that the model was trained on.
      parameters: by path, as podway.framework.task.merge takes them.
      inputs: versions of the artefacts that this is made from, by kind.
      workdir: models/ lies in it.
    """
    family, options, schema = experiment.model, experiment.export, dataset.schema
    recommend.check_parameters(family, schema, parameters)
    reading, labels = predict.reading(experiment, dataset), predict.labels(family)
    function = predict.function(family, schema, tuple(reading.columns))
    columns = list(reading.columns.values())
    program = stablehlo.lower_rows(function, parameters, columns, options.target)

    def write(built: pathlib.Path) -> dict[str, Any]:
        buckets, assets = options.batch_buckets, built.with_name("assets")
        assets.mkdir()
        with quiet.quiet():
            tf.config.set_visible_devices([], "GPU")  # they are JAX's
            served = Predictor(program, parameters, reading, labels, buckets, assets)
            tf.saved_model.save(served, str(built), signatures=served.signatures())
            methods = predictor_signatures.methods(labels)
            write_methods(built, methods)
        kinds = {name: spec.dtype.name for name, spec in served.specs.items()}
        raw = golden_rows.write(
            built,
            function,
            parameters,
            reading,
            kinds,
            served.inputs,
            served.separators,
            labels,
            options,
        )
        warmup.write_rows(built, experiment.name, raw, kinds, tuple(methods), buckets)
        beside.write(built, options.beside, function, parameters, columns)
        return {
            "target": options.target,
            "batch_buckets": list(buckets),
            "signatures": [SIGNATURE, EXAMPLES, *methods],
            "inputs": kinds,
            "columns": list(reading.columns),
            "labels": list(labels),
        }

    return _publish(experiment, write, inputs, workdir)


def _publish(
    experiment: config.Experiment,
    write: Callable[[pathlib.Path], dict[str, Any]],
    inputs: Mapping[str, str],
    workdir: epath.PathLike,
) -> epath.Path:
    """Has a model written to a local directory, verifies and publishes it; `write` → details."""
    name = experiment.name
    with tempfile.TemporaryDirectory(prefix="podway-export-") as scratch:
        built = pathlib.Path(scratch) / name
        details = write(built)
        report = verify.in_fresh_process(built)
        print(report, flush=True)
        return publish.publish(
            built,
            name=name,
            workdir=workdir,
            version=model.version(experiment, inputs),
            config=model.identity(experiment),
            inputs=inputs,
            code=sources.code("model", experiment),
            details=details | {versions.VERIFIED: report},
        )
