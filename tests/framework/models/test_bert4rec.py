import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from podway.framework import task
from podway.framework.embedding.lookup import EmbeddedRows
from podway.framework.error import ConfigError
from podway.framework.models import bert4rec
from podway.framework.models.bert4rec import Bert4Rec
from podway.framework.schema.schema import Feature, Schema
from tests.framework import experiments
from tests.framework.experiments import noisy

MODEL = Bert4Rec(width=8, blocks=2, heads=2, feed_forward=2, max_length=6, dropout=0.0)


def numpy_logits(parameters, item):
    """Post-norm blocks in which each position sees all, for one history [length]."""
    p = {path: np.asarray(array, np.float64) for path, array in parameters.items()}

    def norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
        return scaled * p[f"{name}/scale"] + p[f"{name}/bias"]

    def linear(x, name):
        return x @ p[f"{name}/kernel"] + p[f"{name}/bias"]

    x = p["item/embedding"][item] + p["position/embedding"][: len(item)]
    for block in range(MODEL.blocks):
        name = f"blocks/{block}"
        heads = []
        for head in np.split(linear(x, f"{name}/qkv"), MODEL.heads, axis=-1):
            q, k, v = np.split(head, 3, axis=-1)
            weights = np.exp(q @ k.T / np.sqrt(4))
            heads.append(weights / weights.sum(-1, keepdims=True) @ v)
        change = linear(np.concatenate(heads, -1), f"{name}/out")
        x = norm(x + change, f"{name}/attention_norm")
        up = linear(x, f"{name}/up")
        up = 0.5 * up * (1 + np.tanh(np.sqrt(2 / np.pi) * (up + 0.044715 * up**3)))
        x = norm(x + linear(up, f"{name}/down"), f"{name}/feed_forward_norm")
    return norm(x, "norm") @ p["item/embedding"].T


def test_serving_reads_a_mask_behind_the_latest_items(dataset):
    _, parameters = noisy(MODEL, dataset.schema)
    items = dataset.schema["item"].size
    histories = [[5, 9, 3], [], [7], list(range(2, 12)), [4, 4, 4, 4, 4, 4]]
    padded = np.zeros((len(histories), 12), np.int32)
    for row, history in enumerate(histories):
        padded[row, : len(history)] = history
    scores = experiments.scores(MODEL, dataset.schema, parameters, padded)
    for row, history in enumerate(histories):
        expected = numpy_logits(parameters, [*history[-MODEL.max_length + 1 :], items])[-1]
        np.testing.assert_allclose(scores[row, 2:items], expected[2:items], atol=2e-5)
    assert np.isneginf(scores[:, :2]).all()
    assert np.isneginf(scores[:, items:]).all(), "neither the mask nor padding is an answer"


BATCH = np.array([[5, 9, 3, 8, 0, 0], [6, 1, 7, 2, 9, 4], [1, 0, 0, 0, 0, 0]], np.int32)


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_loss_is_of_the_masked_items_alone(share, dataset, monkeypatch):
    model = dataclasses.replace(MODEL, masked=share, masked_last=0.0)
    graph, parameters = noisy(model, dataset.schema)
    items = dataset.schema["item"].size
    where = []

    def recorded(*arguments, gaps=bert4rec.gaps):
        where.extend(gaps(*arguments))
        return where

    monkeypatch.setattr(bert4rec, "gaps", recorded)
    batch = {"item": jnp.asarray(BATCH)}
    wanted = model.lookups(dataset.schema, batch, jax.random.key(1))
    rows = {
        name: EmbeddedRows(parameters[each.path][each.ids], each.ids)
        for name, each in wanted.items()
    }
    module = task.merge(graph, parameters)
    loss, weight, metrics = model.loss(module, batch, rows, task.ForwardContext(jax.random.key(0)))
    at, valid = map(np.asarray, where)
    terms = []
    for row, history in enumerate(BATCH):
        gaps = at[row][valid[row]]
        read = history[history > 0].copy()
        read[gaps] = items
        logits = numpy_logits(parameters, read)[:, 2:items]
        for gap in gaps:
            terms.append(np.log(np.exp(logits[gap]).sum()) - logits[gap, history[gap] - 2])
    assert weight == len(terms) == {0.2: 1 + 1, 0.5: 2 + 2}[share]
    np.testing.assert_allclose(loss, np.mean(terms), rtol=1e-5)
    np.testing.assert_allclose(metrics["filled_positions"], 11 / 18)


def test_gaps_are_even_and_only_items_are_masked():
    known = jnp.asarray(np.tile(BATCH[1] >= 2, (4000, 1)))
    at, valid = map(np.asarray, bert4rec.gaps(known, 0.5, 0.0, jax.random.key(0)))
    assert at.shape == (4000, 3)
    assert (valid.sum(1) == 2).all(), "half of the five that are known, rounded to even"
    counts = np.bincount(at[valid], minlength=6)
    assert counts[1] == 0, "out of vocabulary"
    assert (np.abs(counts[[0, 2, 3, 4, 5]] - 1600) < 5 * np.sqrt(1600)).all()
    at, valid = map(np.asarray, bert4rec.gaps(known, 0.5, 0.25, jax.random.key(0)))
    assert abs((valid.sum(1) == 1).mean() - 0.25) < 0.04
    assert (at[valid.sum(1) == 1, 0] == 5).all()


def test_the_mask_has_a_row_of_its_own_where_items_fill_the_table():
    schema = Schema((Feature("item", "item", "int32", True, "item", 128, 20),))
    parameters = jax.eval_shape(lambda: task.initialize(MODEL, schema, jax.random.key(0)))
    assert parameters["item/embedding"].shape == (256, 8)
    wanted = MODEL.lookups(schema, {"item": jnp.zeros((2, 6), jnp.int32)}, jax.random.key(0))
    assert wanted["mask"].ids.tolist() == [128]


def test_impossible_shares_name_their_field():
    with pytest.raises(ConfigError, match=r"model\.masked is 0"):
        Bert4Rec(masked=0)
    with pytest.raises(ConfigError, match=r"model\.masked_last is 2"):
        Bert4Rec(masked_last=2)
    with pytest.raises(ConfigError, match=r"model\.max_length is 1; give 2 or more"):
        Bert4Rec(max_length=1)
