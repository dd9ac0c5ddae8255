"""A model of labels, served: raw columns of rows → an answer for each label."""

import dataclasses
import pathlib

import numpy as np
import tensorflow as tf

from podway.export.cases import labels as cases
from podway.export.graph import classify_regress
from podway.export.graph.classify_regress import EXAMPLES, SIGNATURE
from podway.export.graph.labels import LabelsModule
from podway.export.lowering import labels as lowering
from podway.export.lowering import stablehlo
from podway.export.lowering.recommender import check_parameters
from podway.export.served.served import Extras
from podway.export.silence import silence_tensorflow
from podway.export.verification import labels as verification
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

    def write_saved_model(self, built: pathlib.Path, parameters: dict[str, np.ndarray]) -> Extras:
        """See Served."""
        model, options = self.experiment.model, self.experiment.export
        schema = self.dataset.schema
        check_parameters(model, schema, parameters)
        reading = lowering.resolve_reading(self.experiment, self.dataset)
        labels, methods = lowering.labels(model), classify_regress.methods(lowering.labels(model))
        function = lowering.function(model, schema, tuple(reading.columns))
        columns = list(reading.columns.values())
        lowered = stablehlo.lower_rows(function, parameters, columns, options.target)
        buckets, assets = options.batch_buckets, built.with_name("assets")
        assets.mkdir()
        with silence_tensorflow():
            tf.config.set_visible_devices([], "GPU")  # they are JAX's
            module = LabelsModule(lowered, parameters, reading, labels, buckets, assets)
            tf.saved_model.save(module, str(built), signatures=module.signatures())
            classify_regress.write_methods(built, methods)
        kinds = {name: spec.dtype.name for name, spec in module.specs.items()}
        golden = cases.golden(
            function,
            parameters,
            reading,
            kinds,
            module.inputs,
            module.separators,
            labels,
            options,
        )
        return Extras(
            function=function,
            columns=columns,
            golden=golden,
            warmup=verification.warmup_rows(golden),
            details={
                "target": options.target,
                "batch_buckets": list(buckets),
                "signatures": [SIGNATURE, EXAMPLES, *methods],
                "inputs": kinds,
                "columns": list(reading.columns),
                "labels": list(labels),
            },
        )
