"""Models that are fitted, against the formulas of their papers, written here in NumPy."""

import dataclasses

import jax
import numpy as np
import pytest

from podway.framework import task
from podway.framework.config import Component, Data, Evaluation, Experiment
from podway.framework.error import ConfigError
from podway.framework.evaluation.evaluator import answers
from podway.framework.evaluation.recommendation import RankingEvaluator
from podway.framework.input.batches import Ragged
from podway.framework.input.interactions import train_counts, train_matrix
from podway.framework.models import ials, item_knn, sequence_knn
from podway.framework.models.ease import Ease
from podway.framework.models.ials import Ials
from podway.framework.models.item_knn import ItemKnn
from podway.framework.models.parts import neighbours
from podway.framework.models.popularity import Popularity
from podway.framework.models.sequence_knn import SequenceKnn
from podway.framework.runs import run
from podway.framework.training import fitting

# An item twice, an unknown one in between, and no item at all.
ASKED = np.array([[4, 9, 1, 4, 30], [7, 0, 0, 0, 0], [0, 0, 0, 0, 0]], np.int32)
MODELS = (Popularity(), ItemKnn(5), Ease(10.0), Ials(8, epochs=2), SequenceKnn())


def ragged(*rows):
    return Ragged(
        np.concatenate([np.array(row, np.int32) for row in rows]),
        np.cumsum([0, *map(len, rows)]),
    )


def asked(model, dataset, parameters=None, history=ASKED):
    parameters = model.fit(dataset, seed=0) if parameters is None else parameters
    evaluator = RankingEvaluator(model, Evaluation())
    scores = answers(evaluator, dataset.schema, parameters)({"item": history})
    return np.asarray(scores)[:, : dataset.schema["item"].size]


def seen_in_training(histories, items):
    """0/1 [users, items], by the definition."""
    matrix = np.zeros((len(histories), items))
    for row, history in enumerate(histories):
        matrix[row, history[:-2]] = 1
    return matrix


@pytest.fixture(scope="session")
def seen(dataset, histories):
    return seen_in_training(histories, dataset.schema["item"].size)


def test_the_train_split_as_a_matrix(dataset, seen):
    np.testing.assert_array_equal(train_matrix(dataset).toarray(), seen)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_parameters_are_those_of_the_module(dataset, model):
    expected = jax.eval_shape(lambda: task.initialize(model, dataset.schema, jax.random.key(0)))
    found = model.fit(dataset, seed=0)
    assert {path: (each.shape, each.dtype) for path, each in found.items()} == {
        path: (each.shape, each.dtype) for path, each in expected.items()
    }
    assert isinstance(model, task.FittedModel)
    assert np.isfinite(asked(model, dataset, found)[:, 2:]).all()


def test_popularity_counts_training_events(dataset, histories):
    events = np.concatenate([items[:-2] for items in histories])
    expected = np.bincount(events, minlength=dataset.schema["item"].size)
    np.testing.assert_array_equal(asked(Popularity(), dataset), [expected] * 3)
    np.testing.assert_array_equal(train_counts(dataset), expected)


def test_similarities_in_sequence_by_hand():
    # 2→3 at distance 1 twice, 2→4 at distance 2 once, 3→4 once, 4→2 once; no pair over the border.
    histories = ragged([2, 3, 4, 2], [2, 3])
    found = sequence_knn.similarities(histories, items=5, window=2).toarray()
    counts = {2: 3, 3: 2, 4: 1}
    expected = np.zeros((5, 5))
    for (a, b), weight in {
        (2, 3): 2,
        (2, 4): 0.5,
        (3, 4): 1,
        (3, 2): 0.5,
        (4, 2): 1,
    }.items():
        expected[a, b] = weight / np.sqrt(counts[a] * counts[b])
    np.testing.assert_allclose(found, expected)


def test_sequential_knn_weighs_the_latest_items_by_age(dataset, histories):
    items, model = dataset.schema["item"].size, SequenceKnn(window=2, latest=3, decay=0.5)
    dense = sequence_knn.similarities(ragged(*(h[:-2] for h in histories)), items, 2).toarray()
    scores = asked(model, dataset)
    np.testing.assert_allclose(scores[0], dense[30] + 0.5 * dense[4], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(scores[1], dense[7], rtol=1e-5, atol=1e-7)
    assert (scores[2] == 0).all()


def test_only_the_strongest_neighbours_are_kept_and_ties_go_to_the_lower_id():
    dense = np.array([[0, 0.5, 0.9, 0.5], [0, 0, 0, 0], [0.1, 0, 0, 0.2], [1, 1, 1, 0]])
    found = neighbours.strongest(neighbours.sparse.csr_matrix(dense), 2)
    assert found["ids"].shape == found["weights"].shape == (128, 2)
    assert found["ids"][:4].tolist() == [[2, 1], [0, 0], [3, 0], [0, 1]]
    np.testing.assert_allclose(found["weights"][:4], [[0.9, 0.5], [0, 0], [0.2, 0.1], [1, 1]])


def test_item_knn_is_shrunk_cosine_summed_over_distinct_items(dataset, seen):
    common = seen.T @ seen
    users = np.diag(common)
    similarity = common / (np.sqrt(np.outer(users, users)) + 3.0)
    np.fill_diagonal(similarity, 0)
    np.testing.assert_allclose(
        item_knn.cosine(train_matrix(dataset), 3.0).toarray(), similarity, atol=1e-12
    )
    scores = asked(ItemKnn(neighbours=100, shrinkage=3.0), dataset)
    np.testing.assert_allclose(scores[0], similarity[[4, 9, 30]].sum(0), rtol=1e-5, atol=1e-7)
    few = asked(ItemKnn(neighbours=3, shrinkage=3.0), dataset)
    kept = np.argsort(-similarity[7], kind="stable")[:3]
    expected = np.where(np.isin(np.arange(len(users)), kept), similarity[7], 0)
    np.testing.assert_allclose(few[1], expected, rtol=1e-5)


def test_ease_minimises_its_objective(dataset, seen):
    """Each column by itself: ridge regression on all other items, as the paper states the aim."""
    items, strength = seen.shape[1], 7.0
    weights = np.zeros((items, items))
    for column in range(2, items):
        others = [row for row in range(2, items) if row != column]
        x = seen[:, others]
        system = x.T @ x + strength * np.eye(len(others))
        weights[others, column] = np.linalg.solve(system, x.T @ seen[:, column])
    scores = asked(Ease(strength), dataset)
    np.testing.assert_allclose(scores[0], weights[[4, 9, 30]].sum(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(scores[1], weights[7], rtol=1e-4, atol=1e-6)
    assert (scores[2] == 0).all()


def ials_objective(model, seen, user, item):
    scores = user @ item.T
    users = model.regularization * (seen.sum(1) + model.unobserved * seen.shape[1])
    items = model.regularization * (seen.sum(0) + model.unobserved * seen.shape[0])
    return (
        (seen * (1 - scores) ** 2).sum()
        + model.unobserved * (scores**2).sum()
        + (users * (user**2).sum(1)).sum()
        + (items * (item**2).sum(1)).sum()
    )


def test_ials_solves_each_side_of_its_objective(seen):
    model, generator = Ials(width=4, regularization=0.05), np.random.default_rng(1)
    item, matrix = generator.normal(size=(40, 4)), neighbours.sparse.csr_matrix(seen[:, 2:])
    user = model.solve(matrix, item)
    best = ials_objective(model, seen[:, 2:], user, item)
    for _ in range(20):
        moved = user + generator.normal(scale=1e-2, size=user.shape)
        assert ials_objective(model, seen[:, 2:], moved, item) > best
    better = model.solve(neighbours.sparse.csr_matrix(matrix.T), user)
    assert ials_objective(model, seen[:, 2:], user, better) < best


def test_ials_folds_a_history_in_as_it_would_a_user(dataset, seen):
    model = Ials(width=8, epochs=3)
    parameters = model.fit(dataset, seed=0)
    item = parameters["item/embedding"][2:42].astype(np.float64)
    own = np.zeros((3, seen.shape[1]))
    own[0, [4, 9, 30]] = own[1, 7] = 1
    user = model.solve(neighbours.sparse.csr_matrix(own[:, 2:]), item)
    scores = asked(model, dataset, parameters)
    np.testing.assert_allclose(scores[:, 2:], user @ item.T, rtol=1e-4, atol=1e-5)
    assert np.isneginf(scores[:, :2]).all()


def test_conjugate_gradients_solve_systems_and_stay_finite():
    generator = np.random.default_rng(0)
    root = generator.normal(size=(5, 12, 12))
    systems = root @ root.transpose(0, 2, 1) + 0.5 * np.eye(12)
    right = generator.normal(size=(5, 12))
    right[3] = 0
    expected = np.linalg.solve(systems, right[..., None])[..., 0]
    for iterations in (40, 400):
        found = ials.conjugate_gradients(
            systems.astype(np.float32), right.astype(np.float32), iterations
        )
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-4)


def experiment(model) -> Experiment:
    evaluation = Evaluation(cutoffs=(5,), batch_size=32, bootstrap=10)
    data = Data(name="walks", path="by hand")
    return Experiment(name="walks", data=data, model=model, evaluation=evaluation)


def test_a_fitted_run_is_a_run(dataset, tmp_path):
    target = fitting.fit(experiment(Ease(10.0)), dataset, tmp_path)
    loaded, manifest, parameters = run.load(target)
    assert loaded == experiment(Ease(10.0))
    assert manifest.details["selected_step"] == 0
    assert "nll" not in manifest.details["validation"]
    assert manifest.details["validation"]["hr@5"] > 0.3
    np.testing.assert_array_equal(
        parameters["similarity"], Ease(10.0).fit(dataset, 0)["similarity"]
    )
    assert "fit_seconds" in (target / "report.html").read_text()
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert fitting.fit(experiment(Ease(10.0)), dataset, tmp_path) == target
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == written


def test_what_does_not_fit_is_one_clear_sentence(dataset, tmp_path):
    mixed = dataclasses.replace(
        experiment(Popularity()), mixture=(Component(Data(name="other", path="elsewhere")),)
    )
    with pytest.raises(ConfigError, match=r"^mixture: Popularity is fitted to one dataset"):
        fitting.fit(mixed, dataset, tmp_path)
    with pytest.raises(ConfigError, match=r"42 items and model.max_items is 41"):
        Ease(max_items=41).fit(dataset, 0)
    for wrong in ({"regularization": 0.0}, {"unobserved": -1.0}, {"width": 0}):
        with pytest.raises(ConfigError, match=rf"^model.{next(iter(wrong))} is"):
            Ials(**wrong)
