"""Models whose scores are products say of what."""

import jax.numpy as jnp
import numpy as np
import pytest

from podway.framework import task
from podway.framework.models.bert4rec import Bert4Rec
from podway.framework.models.decoder import Decoder
from podway.framework.models.ease import Ease
from podway.framework.models.hstu import Hstu
from podway.framework.models.ials import Ials
from podway.framework.models.sasrec import SasRec
from podway.framework.models.two_tower import TwoTower
from tests.framework import experiments

SMALL = {"width": 8, "blocks": 1, "heads": 2, "max_length": 8}
MODELS = [
    SasRec(**SMALL),
    Hstu(**SMALL),
    Bert4Rec(**SMALL),
    Decoder(width=8, layers=1, heads=2, kv_heads=1, head_width=4, feed_forward=8, max_length=8),
    TwoTower(width=8, attributes=("genres", "year")),
    Ials(width=4),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_scores_are_the_products_of_the_factors(model, described):
    schema = described.schema
    _, parameters = experiments.noisy(model, schema)
    if isinstance(model, task.TrainedModel):
        parameters |= model.constants(described)
    history = jnp.array([[3, 4, 5, 0], [9, 0, 0, 0]])
    scores = experiments.scores(model, schema, parameters, history)
    assert isinstance(model, task.Factored)
    factors = experiments.said(model, model.factors, schema, parameters, item=history)
    products = np.asarray(factors.query) @ np.asarray(factors.table).T
    items = slice(2, schema["item"].size)
    np.testing.assert_allclose(products[:, items], scores[:, items], rtol=1e-5, atol=1e-5)


def test_a_model_of_other_scores_has_none():
    assert not isinstance(Ease(), task.Factored)
