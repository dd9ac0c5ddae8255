import jax
import numpy as np
import pytest

from podway.export import contract
from podway.export.error import ExportError
from podway.export.lowering import recommender
from podway.framework import task
from podway.framework.config import Export
from podway.framework.error import ConfigError
from podway.framework.models.sasrec import SasRec
from podway.framework.schema.schema import Feature, Schema
from tests.export.conftest import SIZE
from tests.framework import experiments


def expected(trained, history: list[int], k: int) -> tuple[list[int], np.ndarray]:
    """Ids and scores by sorting in NumPy."""
    model, schema = trained.experiment.model, trained.schema
    padded = np.array([history + [0] * (64 - len(history))])
    scores = experiments.scores(model, schema, trained.parameters, padded)[0]
    left = [item for item in range(2, SIZE) if item not in history]
    best = sorted(left, key=lambda item: (-scores[item], item))[:k]
    return best, scores[best]


@pytest.mark.parametrize("history", [[5], [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], [1, 9, 1]])
def test_the_best_unseen_items_are_recommended(trained, history):
    function = jax.jit(recommender.recommend(trained.experiment.model, trained.schema, 10))
    padded = np.array([history + [0] * (64 - len(history))], np.int32)
    scores, ids = function(trained.parameters, padded)
    best, values = expected(trained, history, 10)
    assert ids[0].tolist() == best
    np.testing.assert_allclose(scores[0], values, rtol=1e-5, atol=1e-6)


def test_seen_items_may_be_recommended(trained):
    model, schema = trained.experiment.model, trained.schema
    function = jax.jit(recommender.recommend(model, schema, 10, exclude_seen=False))
    history = np.array([[*range(2, SIZE), *[0] * (64 - SIZE + 2)]], np.int32)
    scores, ids = function(trained.parameters, history)
    every = experiments.scores(model, schema, trained.parameters, history)[0]
    best = sorted(range(2, SIZE), key=lambda item: (-every[item], item))[:10]
    assert ids[0].tolist() == best
    np.testing.assert_allclose(scores[0], every[best], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("longest", [3, recommender.SHORT, recommender.SHORT + 1, 128])
def test_short_and_long_histories_are_computed_alike(longest, monkeypatch):
    """Of 128 places, and the same as where there is no short array."""
    size = 200
    schema = Schema((Feature("item", "item", "int32", True, "item", size, 150),))
    model = SasRec(width=8, max_length=100)
    parameters = task.initialize(model, schema, jax.random.key(0))
    history = np.zeros((3, 128), np.int32)
    for row, length in enumerate((2, longest, 0)):
        history[row, :length] = np.random.default_rng(row).permutation(size - 2)[:length] + 2

    def computed():
        return jax.jit(recommender.recommend(model, schema, 20))(parameters, history)

    scores, ids = computed()
    monkeypatch.setattr(recommender, "SHORT", 128)
    whole, expected = computed()
    np.testing.assert_allclose(scores, whole, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(ids, expected)
    assert not set(ids[1].tolist()) & set(history[1, :longest].tolist())


def test_a_short_batch_is_not_computed_at_full_length():
    """The products of the branch that it takes are of SHORT positions."""
    schema = Schema((Feature("item", "item", "int32", True, "item", 200, 150),))
    model = SasRec(width=8, max_length=100)
    parameters = task.initialize(model, schema, jax.random.key(0))
    function = recommender.recommend(model, schema, 20)
    text = jax.jit(function).lower(parameters, np.zeros((2, 128), np.int32)).as_text()
    assert f"tensor<{2 * recommender.SHORT}x24xf32>" in text
    assert "tensor<200x24xf32>" in text


def test_places_without_an_item_hold_padding_and_the_lowest_score(trained):
    function = jax.jit(recommender.recommend(trained.experiment.model, trained.schema, 10))
    history = np.array([[*range(2, SIZE - 3), *[0] * (64 - SIZE + 5)]], np.int32)
    scores, ids = function(trained.parameters, history)
    assert sorted(ids[0, :3].tolist()) == [SIZE - 3, SIZE - 2, SIZE - 1]
    assert ids[0, 3:].tolist() == [0] * 7
    assert scores[0, 3:].tolist() == [recommender.LOWEST] * 7
    assert np.isfinite(np.asarray(scores)).all()


def test_parameters_of_another_model_are_refused(trained):
    model, schema = trained.experiment.model, trained.schema
    fewer = {path: array for path, array in trained.parameters.items() if path != "norm/bias"}
    with pytest.raises(
        ExportError, match=r"norm/bias is missing in the checkpoint and float32\[8\]"
    ):
        recommender.check_parameters(model, schema, fewer)
    wider = trained.parameters | {"norm/bias": np.zeros(9, np.float32)}
    with pytest.raises(ExportError, match=r"norm/bias is float32\[9\] in the checkpoint"):
        recommender.check_parameters(model, schema, wider)


@pytest.mark.parametrize(("longest", "length"), [(1, 1), (2, 2), (40, 64), (64, 64), (65, 128)])
def test_the_history_is_a_power_of_two_by_default(longest, length):
    schema = Schema((Feature("item", "item", "int32", True, "item", 50, longest),))
    assert contract.resolve(Export(), schema).max_history == length
    assert contract.resolve(Export(max_history=7), schema).max_history == 7


def test_a_list_longer_than_the_catalogue_is_refused():
    schema = Schema((Feature("item", "item", "int32", True, "item", 12, 5),))
    assert contract.resolve(Export(top_k=10), schema).top_k == 10
    with pytest.raises(ConfigError, match=r"export\.top_k is 11.*10 items"):
        contract.resolve(Export(top_k=11), schema)
