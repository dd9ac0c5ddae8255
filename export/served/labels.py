"""A model of labels, served: raw columns of rows → an answer for each label."""

import dataclasses
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from podway.export import jax_extras, quiet
from podway.export.graph import classify_regress
from podway.export.graph.classify_regress import EXAMPLES, SIGNATURE
from podway.export.graph.labels import Predictor
from podway.export.lowering import labels as lowering
from podway.export.lowering import recommender, stablehlo
from podway.export.verification import cases_labels, warmup
from podway.framework import config
from podway.framework.input.dataset import Dataset


@dataclasses.dataclass(frozen=True)
class ServedLabels:
    """A model of labels of rows (a Served, export/served/served.py).

    Attributes:
      experiment: `data.columns` says what clients call user and item.
      dataset: that the model was trained on.
    """

    experiment: config.Experiment
    dataset: Dataset

    def write(self, built: pathlib.Path, parameters: dict[str, np.ndarray]) -> dict[str, Any]:
        """See Served."""
        model, options = self.experiment.model, self.experiment.export
        schema = self.dataset.schema
        recommender.check_parameters(model, schema, parameters)
        reading = lowering.reading(self.experiment, self.dataset)
        labels, methods = lowering.labels(model), classify_regress.methods(lowering.labels(model))
        function = lowering.function(model, schema, tuple(reading.columns))
        columns = list(reading.columns.values())
        program = stablehlo.lower_rows(function, parameters, columns, options.target)
        buckets, assets = options.batch_buckets, built.with_name("assets")
        assets.mkdir()
        with quiet.quiet():
            tf.config.set_visible_devices([], "GPU")  # they are JAX's
            served = Predictor(program, parameters, reading, labels, buckets, assets)
            tf.saved_model.save(served, str(built), signatures=served.signatures())
            classify_regress.write_methods(built, methods)
        kinds = {name: spec.dtype.name for name, spec in served.specs.items()}
        raw = cases_labels.write(
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
        name = self.experiment.name
        warmup.write_rows(built, name, raw, kinds, tuple(methods), buckets)
        jax_extras.write(built, options.beside, function, parameters, columns)
        return {
            "target": options.target,
            "batch_buckets": list(buckets),
            "signatures": [SIGNATURE, EXAMPLES, *methods],
            "inputs": kinds,
            "columns": list(reading.columns),
            "labels": list(labels),
        }
