"""Retrieve, then rank: the chain's order and the ranker by NumPy, and any mesh's losses."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from podway.framework import task
from podway.framework.embedding.lookup import EmbeddedRows
from podway.framework.embedding.table import Embedding
from podway.framework.error import ConfigError
from podway.framework.models.retrieve_rank import RetrieveRank
from podway.framework.models.two_tower import TwoTower
from tests.framework import experiments
from tests.framework.meshes import on_eight_devices

TOWERS = TwoTower(
    width=8, hidden=12, attributes=("genres", "year"), max_length=6, targets=3, dropout=0.0
)
MODEL = RetrieveRank(retrieval=TOWERS, candidates=10, targets=2, sampled=4, hidden=9, dropout=0.0)


@pytest.fixture(scope="module")
def built(described):
    """Parameters away from their initial zeros; and constants."""
    fresh = task.initialize(MODEL, described.schema, jax.random.key(3))
    noise = np.random.default_rng(0)
    learnt = {
        path: array + 0.3 * noise.normal(size=array.shape).astype(np.float32)
        for path, array in sorted(fresh.items())
        if not task.is_constant(path)
    }
    return learnt | MODEL.constants(described)


def scored(model, parameters, dataset, histories):
    padded = np.zeros((len(histories), 8), np.int32)
    for row, history in enumerate(histories):
        padded[row, : len(history)] = history
    arrays = {path: jnp.asarray(each) for path, each in parameters.items()}
    return experiments.scores(model, dataset.schema, arrays, padded)


def ranked_by_hand(parameters, dataset, history, item, logit):
    """The ranker's score of one candidate, plainly. Embeddings and vectors are the retrieval's."""
    p = {path: np.asarray(each, np.float64) for path, each in parameters.items()}
    module = task.merge(task.structure(MODEL, dataset.schema), parameters)
    embed = module.retrieval.embed
    table = jnp.asarray(parameters["retrieval/item/embedding"])
    every = np.asarray(embed(jnp.arange(len(table)), table), np.float64)
    ids = jnp.array([history[-6:]])
    embedded = module.retrieval.embed(ids, module.retrieval.item.embedding[...][ids])
    end = jnp.array([[ids.shape[1]]])
    user = np.asarray(module.retrieval.user(embedded, ids >= 2, end), np.float64)[0, 0]

    def linear(x, name):
        return x @ p[f"ranker/{name}/kernel"] + p[f"ranker/{name}/bias"]

    query, weights, values = linear(every[item], "query"), [], []
    for age, old in enumerate(reversed(history)):
        value = every[old] + p["ranker/position/embedding"][age]
        weights.append(np.exp(query @ (value @ p["ranker/key/kernel"]) / np.sqrt(8)))
        values.append(value)
    attended = np.average(values, axis=0, weights=weights)
    events = np.log1p(parameters["retrieval/constants/counts"][item])
    x = np.concatenate([user, every[item], attended, attended * every[item], [logit, events]])
    up = linear(x, "up")
    gelu = 0.5 * up * (1 + np.tanh(np.sqrt(2 / np.pi) * (up + 0.044715 * up**3)))
    return logit + linear(gelu, "score")[0]


def test_the_best_of_the_retrieval_are_ranked_and_the_others_follow(built, described):
    histories = [[5, 9, 3], [7]]
    chain = scored(MODEL, built, described, histories)
    alone = scored(dataclasses.replace(MODEL, candidates=0), built, described, histories)
    for row, history in enumerate(histories):
        unseen = [item for item in np.argsort(-alone[row]) if 2 <= item < 42]
        unseen = [item for item in unseen if item not in history]
        first, rest = unseen[:10], unseen[10:]
        by_hand = [
            ranked_by_hand(built, described, history, item, alone[row, item]) for item in first
        ]
        np.testing.assert_allclose(chain[row, first], by_hand, rtol=1e-4, atol=1e-4)
        assert np.argsort(by_hand).tolist() != list(range(9, -1, -1)), "ranking changes the order"
        assert chain[row, rest].max() < chain[row, first].min()
        assert (np.diff(chain[row, rest]) <= 0).all()
        assert chain[row, history].max() < chain[row, first].min()
    assert np.isneginf(chain[:, [0, 1, 42, 127]]).all()


def test_the_retrieval_alone_is_the_retrieval(built, described):
    ((name, alone),) = MODEL.beside().items()
    assert name == "retrieval"
    own = {
        path.removeprefix("retrieval/"): each
        for path, each in built.items()
        if path.startswith("retrieval/")
    }
    np.testing.assert_array_equal(
        scored(alone, built, described, [[5, 9, 3]]), scored(TOWERS, own, described, [[5, 9, 3]])
    )


def test_before_it_is_trained_the_chain_has_the_order_of_the_retrieval(described):
    fresh = task.initialize(MODEL, described.schema, jax.random.key(3))
    fresh |= MODEL.constants(described)
    history = [[5, 9, 3]]
    chain = scored(MODEL, fresh, described, history)[0]
    alone = scored(dataclasses.replace(MODEL, candidates=0), fresh, described, history)[0]
    unseen = [item for item in range(2, 42) if item not in history[0]]
    np.testing.assert_array_equal(
        np.argsort(-chain[unseen], kind="stable"), np.argsort(-alone[unseen], kind="stable")
    )


def test_who_is_unknown_gets_what_is_popular(built, described):
    counts = built["retrieval/constants/counts"]
    empty, unknown = scored(MODEL, built, described, [[], [1, 1]])
    np.testing.assert_allclose(empty[2:42], np.log1p(counts[2:42]), rtol=1e-6)
    np.testing.assert_array_equal(empty, unknown)
    assert np.isneginf(empty[[0, 1, 42]]).all()


def test_fewer_items_than_candidates_are_all_ranked(built, described):
    wide = dataclasses.replace(MODEL, candidates=500)
    every = list(range(2, 42))
    (scores,) = scored(wide, built, described, [[5, 9, 3]])
    assert np.isfinite(scores[every]).all()
    unseen = [item for item in every if item not in (5, 9, 3)]
    alone = scored(dataclasses.replace(MODEL, candidates=0), built, described, [[5, 9, 3]])[0]
    by_hand = [ranked_by_hand(built, described, [5, 9, 3], i, alone[i]) for i in unseen]
    np.testing.assert_allclose(scores[unseen], by_hand, rtol=1e-4, atol=1e-4)


EVERY = dataclasses.replace(MODEL, candidates=40)
"""Finds any target."""
BATCH = np.array([[5, 9, 3, 9, 0, 0, 0], [6, 7, 2, 9, 0, 0, 0]], np.int32)


def test_the_rankers_loss_matches_an_independent_computation(built, described):
    module = task.merge(task.structure(MODEL, described.schema), built)
    table = built["retrieval/item/embedding"]
    rows = EmbeddedRows(jnp.asarray(table)[BATCH], jnp.asarray(BATCH))
    loss = EVERY.ranking_loss(module, {"item": rows.ids}, rows, task.ForwardContext())
    terms = []
    # The first two items of each row are targets; of the first one, nothing is known before.
    for history, target in (([5], 9), ([6], 7)):
        (alone,) = scored(dataclasses.replace(MODEL, candidates=0), built, described, [history])
        order = np.argsort(-alone[2:42]) + 2
        others = [item for item in order if item not in (*history, target)][:4]
        logits = [
            ranked_by_hand(built, described, history, item, alone[item])
            for item in (target, *others)
        ]
        terms.append(np.log(np.exp(logits).sum()) - logits[0])

    def of_the_second(targets):
        chosen = dataclasses.replace(EVERY, targets=targets)
        return (
            float(chosen.ranking_loss(module, {"item": rows.ids}, rows, task.ForwardContext()))
            * targets
        )

    np.testing.assert_allclose(float(loss) * 2 - of_the_second(1), np.mean(terms), rtol=1e-4)


def test_what_the_retrieval_does_not_find_is_nothing_to_rank(built, described):
    """Of two items, the target is the second."""
    alone = dataclasses.replace(MODEL, candidates=0)
    (scores,) = scored(alone, built, described, [[5]])
    order = [item for item in np.argsort(-scores[2:42]) + 2 if item != 5]
    module = task.merge(task.structure(MODEL, described.schema), built)
    table = jnp.asarray(built["retrieval/item/embedding"])

    def loss(target, candidates):
        ids = jnp.array([[5, target, 0]])
        rows = EmbeddedRows(table[ids], ids)
        model = dataclasses.replace(MODEL, candidates=candidates)
        # The first target, item 5 of an unknown user, is in both.
        one = dataclasses.replace(model, targets=1).ranking_loss(
            module, {"item": rows.ids}, rows, task.ForwardContext()
        )
        both = model.ranking_loss(module, {"item": rows.ids}, rows, task.ForwardContext())
        return float(one), float(both)

    one, both = loss(order[20], 10)
    assert both == pytest.approx(one, abs=1e-5), "not found, not counted"
    one, both = loss(order[1], 10)
    assert abs(both - one) > 1e-3


def test_the_ranker_does_not_train_the_retrieval(built, described):
    graph = task.structure(MODEL, described.schema)
    constants = jax.tree.map(jnp.asarray, MODEL.constants(described))

    def loss(learnt):
        module = task.merge(graph, learnt | constants)
        table = learnt["retrieval/item/embedding"]
        rows = EmbeddedRows(table[BATCH], jnp.asarray(BATCH))
        # The third target has two items before it: attention to one alone has no gradient.
        chosen = dataclasses.replace(EVERY, targets=3)
        return chosen.ranking_loss(module, {"item": rows.ids}, rows, task.ForwardContext())

    learnt = {path: jnp.asarray(e) for path, e in built.items() if not task.is_constant(path)}
    gradients = jax.jit(jax.grad(loss))(learnt)
    # A softmax doesn't change with what is added to all of its scores: rounding alone is left.
    assert jnp.abs(gradients.pop("ranker/score/bias")).max() < 1e-6
    for path, gradient in gradients.items():
        assert bool(jnp.any(gradient != 0)) == path.startswith("ranker/"), path


def test_every_mesh_gives_the_losses_of_one_device(described):
    meshes = {"one": {"data": 1}, "all": {"fsdp": 2, "tensor": 2}}
    cases = {name: {"family": "chain", "mesh": each} for name, each in meshes.items()}
    losses = on_eight_devices(described, cases)
    assert np.mean(losses["one"][-5:]) < 0.9 * np.mean(losses["one"][:5])
    np.testing.assert_allclose(losses["all"], losses["one"], atol=1e-5, rtol=0)


def test_what_cannot_be_is_named():
    with pytest.raises(ConfigError, match=r"model\.candidates is -1"):
        RetrieveRank(candidates=-1)
    with pytest.raises(ConfigError, match=r"model\.retrieval\.embedding asks for a sparse table"):
        RetrieveRank(retrieval=TwoTower(embedding=Embedding()))
