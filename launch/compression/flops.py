"""Operations of one answer, counted in the traced function that is exported."""

from __future__ import annotations

import jax
import numpy as np
from etils import epath

from podway.export.lowering import labels, recommender
from podway.framework import task
from podway.framework.config import Experiment
from podway.framework.input.dataset import Dataset
from podway.framework.runs import run
from podway.framework.training import flops


def of(experiment: Experiment, dataset: Dataset, directory: epath.Path) -> float:
    """FLOPs of the matrix products for one row of a request, as long as it may be."""
    _, _, parameters = run.load(directory, experiment)
    shapes = {
        path: jax.ShapeDtypeStruct(array.shape, array.dtype) for path, array in parameters.items()
    }
    schema = dataset.schema
    if isinstance(experiment.model, task.LabelModel):
        reading = labels.resolve_reading(experiment, dataset)
        function = labels.function(experiment.model, schema, tuple(reading.columns))
        columns = [
            jax.ShapeDtypeStruct((1, *each.shape), each.dtype) for each in reading.columns.values()
        ]
    else:
        items = schema["item"].size - 2
        function = recommender.recommend(
            experiment.model, schema, min(experiment.export.top_k, items)
        )
        length = schema["item"].max_length
        ids = jax.ShapeDtypeStruct((1, length), np.dtype(np.int32))
        columns = [ids] * (1 + experiment.model.reads_times())
    return flops.count(jax.make_jaxpr(function)(shapes, *columns).jaxpr)
