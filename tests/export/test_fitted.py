"""Fitted models are lowered as any model is: without calls that the serving runtime lacks."""

import jax
import numpy as np
import pytest

from podway.export.lowering import recommender, stablehlo
from podway.framework import task
from podway.framework.models.ease import Ease
from podway.framework.models.ials import Ials
from podway.framework.models.item_knn import ItemKnn
from podway.framework.models.popularity import Popularity
from podway.framework.models.sequence_knn import SequenceKnn

MODELS = (Popularity(), ItemKnn(5), Ease(10.0), Ials(8), SequenceKnn())


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_lowers_for_the_oldest_target_with_a_free_batch_size(model, trained):
    shapes = jax.eval_shape(lambda: task.initialize(model, trained.schema, jax.random.key(0)))
    parameters = {path: np.zeros(each.shape, each.dtype) for path, each in shapes.items()}
    recommender.check_parameters(model, trained.schema, parameters)
    function = recommender.recommend(model, trained.schema, 10)
    program = stablehlo.lower(function, parameters, length=16, target="2.18")
    assert program.shapes == ((None, 10), (None, 10))
    assert set(program.weights) == set(parameters)
