"""What follows from a model's declarations."""

import dataclasses

import jax
import numpy as np
import pytest

from podway.framework import task
from podway.framework.config import Model
from podway.framework.embedding.table import Embedding, Table
from podway.framework.error import ConfigError
from podway.framework.models.bert4rec import Bert4Rec
from podway.framework.models.decoder import Decoder
from podway.framework.models.sasrec import SasRec
from podway.framework.models.two_tower import TwoTower
from tests.framework import rows
from tests.framework.experiments import noisy, scores


def test_sparse_tables_are_as_large_as_the_parameters_they_stand_for(dataset, tmp_path):
    for model, path in (
        (TwoTower(width=16, embedding=Embedding()), "item/embedding"),
        (rows.MODELS["sparse items"], "embeddings/item/embedding"),
    ):
        schema = dataset.schema if path == "item/embedding" else rows.write(tmp_path).schema
        parameters = jax.eval_shape(
            lambda m=model, s=schema: task.initialize(m, s, jax.random.key(0))
        )
        options = model.embedding if isinstance(model, TwoTower) else model.items
        assert model.tables(schema) == {path: Table(*parameters[path].shape, options)}
    assert SasRec().tables(dataset.schema) == {}


def test_a_sparse_table_that_is_no_parameter_is_an_error(dataset):
    class Wrong(SasRec):
        def sparse(self, schema):
            return {"items": Embedding()}

    with pytest.raises(ConfigError, match="the sparse table items is no parameter"):
        Wrong().tables(dataset.schema)


@pytest.mark.parametrize(
    "model",
    [
        SasRec(width=8, max_length=6),
        Bert4Rec(width=8, max_length=6),
        Decoder(width=8, layers=1, heads=2, kv_heads=1, head_width=4, feed_forward=8, max_length=6),
        TwoTower(width=8, max_length=6),
    ],
    ids=lambda model: type(model).__name__,
)
def test_scores_are_made_of_the_rows_that_the_framework_read(model, dataset):
    """A head that looked its history up itself would not see that the rows are others."""
    schema = dataset.schema
    _, parameters = noisy(dataclasses.replace(model), schema)
    if "constants/counts" in parameters:
        parameters["constants/counts"] = np.ones_like(parameters["constants/counts"])
    history = np.array([[5, 9, 3, 8]], np.int32)

    def doubled(module, batch, rows, context):
        twice = {name: each._replace(values=2 * each.values) for name, each in rows.items()}
        return model.scores(module, batch, twice, context)

    batch = {"item": history}
    other = task.inference(model, schema, doubled)(parameters, batch, task.SERVING)
    own = scores(model, schema, parameters, history)
    known = slice(2, schema["item"].size)
    assert not np.allclose(np.asarray(other)[:, known], own[:, known])


def test_a_model_that_is_not_what_is_asked_of_it_is_told_so():
    with pytest.raises(ConfigError, match=r"Model is no TrainedModel: a model derives from what"):
        task.of_kind(Model(), task.TrainedModel)
    assert task.of_kind(SasRec(), task.Recommender) == SasRec()
