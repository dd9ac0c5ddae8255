"""The export stage: parameters → a verified, published model."""

import dataclasses
import pathlib
import tempfile
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from etils import epath

from export import (
    contract,
    golden,
    model,
    publish,
    quiet,
    recommend,
    saved_model,
    stablehlo,
    verify,
    warmup,
)
from export.error import ExportError
from export.signatures import PADDING_VALUES, SIGNATURES
from framework import config
from framework.schema import Schema, Vocabulary


def export(
    experiment: config.Experiment,
    *,
    schema: Schema,
    vocabulary: Vocabulary,
    parameters: dict[str, np.ndarray],
    inputs: Mapping[str, str],
    workdir: epath.PathLike,
) -> epath.Path:
    """Lowers, writes, verifies and publishes a model; it is served from then on.

    Args:
      experiment: its `model` and `export` say what to export, `name` what to call it, and
        evaluation.exclude_seen whether seen items may be in the answer.
      schema: of the dataset that the model was trained on.
      vocabulary: of its items.
      parameters: by path, as framework.task.merge takes them.
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
    agreed = contract.resolve(experiment.export, schema, exclude_seen=seen)
    function = recommend.recommend(experiment.model, schema, agreed.top_k, exclude_seen=seen)
    program = stablehlo.lower(function, parameters, agreed.max_history, agreed.target)
    with tempfile.TemporaryDirectory(prefix="podway-export-") as scratch:
        built = pathlib.Path(scratch) / name
        with quiet.quiet():
            tf.config.set_visible_devices([], "GPU")  # they are JAX's
            saved_model.write(built, program, parameters, vocabulary, agreed)
            warmup.write(built, name, vocabulary, agreed.batch_buckets)
        golden.write(built, experiment.model, schema, vocabulary, parameters, agreed)
        print(verify.in_fresh_process(built), flush=True)
        return publish.publish(
            built,
            name=name,
            workdir=workdir,
            version=model.version(experiment, inputs),
            config=model.identity(experiment),
            inputs=inputs,
            code=model.code(),
            details=dataclasses.asdict(agreed)
            | {"signatures": list(SIGNATURES), "padding": PADDING_VALUES},
        )
