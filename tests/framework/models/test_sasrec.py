import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from podway.framework import task
from podway.framework.embedding.lookup import EmbeddedRows
from podway.framework.embedding.table import Embedding
from podway.framework.error import ConfigError
from podway.framework.models.hstu import Hstu
from podway.framework.models.parts.item_losses import GBce, SampledSoftmax
from podway.framework.models.sasrec import SasRec
from tests.framework import experiments
from tests.framework.experiments import noisy

MODEL = SasRec(width=8, blocks=2, heads=2, feed_forward=2, max_length=6, dropout=0.5)
HSTU = Hstu(width=8, blocks=2, heads=2, max_length=6)


@pytest.fixture(scope="module")
def built(dataset):
    return noisy(MODEL, dataset.schema)


def numpy_hidden(parameters, item, kind="pre"):
    """The same transformer, written plainly for one history [length]: logits at each position."""
    p = {path: np.asarray(array, np.float64) for path, array in parameters.items()}

    def norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
        return scaled * p[f"{name}/scale"] + p[f"{name}/bias"]

    def linear(x, name):
        return x @ p[f"{name}/kernel"] + p[f"{name}/bias"]

    def gelu(x):
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def joined(x, change, name):
        if kind == "post":
            return norm(x + change, f"{name}_norm")
        return x + (change * sigmoid(linear(x, f"{name}_gate")) if kind == "ligr" else change)

    x = p["item/embedding"][item] + p["position/embedding"][: len(item)]
    for block in range(MODEL.blocks):
        name = f"blocks/{block}"
        read = x if kind == "post" else norm(x, f"{name}/attention_norm")
        qkv = linear(read, f"{name}/qkv")
        heads = []
        for head in np.split(qkv, MODEL.heads, axis=-1):
            q, k, v = np.split(head, 3, axis=-1)
            attended = np.zeros((len(item), 4))
            for t in range(len(item)):
                scores = q[t] @ k[: t + 1].T / np.sqrt(4)
                weights = np.exp(scores - scores.max())
                attended[t] = weights / weights.sum() @ v[: t + 1]
            heads.append(attended)
        x = joined(x, linear(np.concatenate(heads, -1), f"{name}/out"), f"{name}/attention")
        read = x if kind == "post" else norm(x, f"{name}/feed_forward_norm")
        up = linear(read, f"{name}/up")
        wide = up[:, 1::2] * up[:, ::2] * sigmoid(up[:, ::2]) if kind == "ligr" else gelu(up)
        x = joined(x, linear(wide, f"{name}/down"), f"{name}/feed_forward")
    return norm(x, "norm") @ p["item/embedding"].T


@pytest.mark.parametrize("kind", ["pre", "post", "ligr"])
def test_scores_match_an_independent_computation(kind, dataset):
    model = dataclasses.replace(MODEL, block_kind=kind)
    _, parameters = noisy(model, dataset.schema)
    histories = [[5, 9, 3], [7], list(range(2, 12)), [4, 4, 4, 4, 4, 4]]
    padded = np.zeros((len(histories), 12), np.int32)
    for row, history in enumerate(histories):
        padded[row, : len(history)] = history
    scores = experiments.scores(model, dataset.schema, parameters, padded)
    items = dataset.schema["item"].size
    for row, history in enumerate(histories):
        expected = numpy_hidden(parameters, history[-MODEL.max_length :], kind)[-1]
        np.testing.assert_allclose(scores[row, 2:items], expected[2:items], atol=2e-5)
        assert np.isneginf(np.asarray(scores[row, :2])).all()
        assert np.isneginf(np.asarray(scores[row, items:])).all()


BATCH = np.array([[5, 9, 3, 8, 0, 0, 0], [6, 1, 7, 2, 9, 4, 3]], np.int32)


def loss_of_batch(model, built, dataset):
    """Loss, weight and metrics of BATCH, and the ids that were drawn for it."""
    batch = {"item": jnp.asarray(BATCH)}
    lookups = model.lookups(dataset.schema, batch, jax.random.key(1))
    rows = {
        name: EmbeddedRows(built[1][each.path][each.ids], each.ids)
        for name, each in lookups.items()
    }
    module = task.merge(task.structure(model, dataset.schema), built[1])
    drawn = lookups["negatives"].ids if "negatives" in lookups else None
    return *model.loss(module, batch, rows, task.ForwardContext(jax.random.key(0))), drawn


def test_loss_matches_an_independent_computation(built, dataset):
    _, parameters = built
    still = dataclasses.replace(MODEL, dropout=0.0)
    loss, weight, metrics, _ = loss_of_batch(still, built, dataset)
    items, terms = dataset.schema["item"].size, []
    for row in BATCH:
        logits = numpy_hidden(parameters, row[:-1])[:, 2:items]
        for position, target in enumerate(row[1:]):
            if target >= 2:  # neither padding nor out of vocabulary
                shifted = logits[position] - logits[position].max()
                terms.append(np.log(np.exp(shifted).sum()) - shifted[target - 2])
    assert len(terms) == weight == 3 + 5
    np.testing.assert_allclose(loss, np.mean(terms), rtol=1e-5)
    np.testing.assert_allclose(metrics["filled_positions"], 10 / 12)
    dropped = loss_of_batch(MODEL, built, dataset)[0]
    assert abs(float(dropped) - float(loss)) > 1e-3, "dropout changes the loss"


def test_the_sampled_loss_matches_an_independent_computation(built, dataset):
    _, parameters = built
    sampled = dataclasses.replace(MODEL, dropout=0.0, objective=SampledSoftmax(7))
    loss, weight, _, drawn = loss_of_batch(sampled, built, dataset)
    assert drawn is not None
    assert len(drawn) == 7
    assert drawn.min() >= 2
    assert drawn.max() < dataset.schema["item"].size
    terms = []
    for row in BATCH:
        logits = numpy_hidden(parameters, row[:-1])
        for position, target in enumerate(row[1:]):
            if target >= 2:
                other = [item for item in np.asarray(drawn) if item != target]
                each = (dataset.schema["item"].size - 2 - 1) / len(other)
                own, theirs = logits[position, target], logits[position, other]
                terms.append(np.log(np.exp(own) + each * np.exp(theirs).sum()) - own)
    assert weight == len(terms)
    np.testing.assert_allclose(loss, np.mean(terms), rtol=1e-5)


@pytest.mark.parametrize("model", [MODEL, dataclasses.replace(MODEL, block_kind="ligr"), HSTU])
def test_later_items_and_padding_do_not_reach_earlier_positions(model, dataset):
    graph, parameters = noisy(model, dataset.schema)
    module = task.merge(graph, parameters)
    embed = module.item.embedding
    short = module(embed[jnp.array([[5, 9, 3, 0, 0, 0]])])
    long = module(embed[jnp.array([[5, 9, 3, 8, 7, 2]])])
    np.testing.assert_array_equal(short[:, :3], long[:, :3])
    assert not np.allclose(short[:, 3:], long[:, 3:])


def test_an_empty_history_has_finite_scores(built, dataset):
    _, parameters = built
    scores = experiments.scores(MODEL, dataset.schema, parameters, np.zeros((2, 6), np.int32))
    assert np.isfinite(np.asarray(scores[:, 2 : dataset.schema["item"].size])).all()


def test_impossible_shapes_name_their_field():
    with pytest.raises(ConfigError, match=r"model\.heads is 3"):
        SasRec(width=8, heads=3)
    with pytest.raises(
        ConfigError, match=r"model\.block_kind is 'peri'; give one of post, pre, ligr"
    ):
        SasRec(block_kind="peri")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"model\.dropout is 1\.0"):
        SasRec(dropout=1.0)
    with pytest.raises(ConfigError, match=r"model\.objective is FullSoftmax"):
        SasRec(embedding=Embedding())
    with pytest.raises(ConfigError, match=r"model\.objective is GBce.*drawn_for=\"batch\""):
        SasRec(objective=GBce(), embedding=Embedding())
