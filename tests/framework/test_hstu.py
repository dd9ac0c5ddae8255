import jax.numpy as jnp
import numpy as np

from framework import task
from framework.models import hstu
from framework.models.attention import CAUSAL
from framework.models.hstu import Hstu
from tests.framework.experiments import noisy

MODEL = Hstu(width=8, blocks=2, heads=2, max_length=6)


def numpy_logits(parameters, item):
    """The paper's formula, a query and a head at a time: logits at the last item."""
    p = {path: np.asarray(array, np.float64) for path, array in parameters.items()}

    def norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
        return scaled * p[f"{name}/scale"] + p[f"{name}/bias"]

    def silu(x):
        return x / (1 + np.exp(-x))

    x = p["item/embedding"][item] + p["position/embedding"][: len(item)]
    for block in range(MODEL.blocks):
        name = f"blocks/{block}"
        each = silu(norm(x, f"{name}/norm") @ p[f"{name}/uvqk/kernel"])
        gates, attended = [], []
        for head in np.split(each, MODEL.heads, axis=-1):
            u, v, q, k = np.split(head, 4, axis=-1)
            gates.append(u)
            seen = np.zeros_like(v)
            for t in range(len(item)):
                for s in range(t + 1):
                    score = silu(q[t] @ k[s] + p[f"{name}/distance/bias"][t - s])
                    seen[t] += score * v[s] / (t + 1)
            attended.append(seen)
        mixed = norm(np.concatenate(attended, -1), f"{name}/attention_norm")
        mixed *= np.concatenate(gates, -1)
        x = x + mixed @ p[f"{name}/out/kernel"] + p[f"{name}/out/bias"]
    return norm(x[-1:], "norm")[0] @ p["item/embedding"].T


def test_scores_match_an_independent_computation(dataset):
    graph, parameters = noisy(MODEL, dataset.schema)
    histories = [[5, 9, 3], [7], list(range(2, 12)), [4, 4, 4, 4, 4, 4]]
    padded = np.zeros((len(histories), 12), np.int32)
    for row, history in enumerate(histories):
        padded[row, : len(history)] = history
    scores = np.asarray(MODEL.scores(task.merge(graph, parameters), jnp.asarray(padded)))
    items = dataset.schema["item"].size
    for row, history in enumerate(histories):
        expected = numpy_logits(parameters, history[-MODEL.max_length :])
        np.testing.assert_allclose(scores[row, 2:items], expected[2:items], atol=2e-5)
    assert np.isneginf(scores[:, :2]).all()
    assert np.isneginf(scores[:, items:]).all()


def test_attention_is_divided_by_the_positions_that_are_seen():
    query, key, value = np.random.default_rng(0).normal(size=(3, 2, 3, 5, 4))
    bias = np.random.default_rng(1).normal(size=(5, 5))
    found = hstu.attend(*map(jnp.asarray, (query, key, value, bias)), CAUSAL)
    for example, head, at in np.ndindex(2, 3, 5):
        seen = np.arange(at + 1)
        scores = key[example, head, seen] @ query[example, head, at] + bias[at, seen]
        expected = (scores / (1 + np.exp(-scores))) @ value[example, head, seen] / (at + 1)
        np.testing.assert_allclose(found[example, at, head], expected, atol=1e-5)


def test_a_bias_is_learned_for_each_distance_and_layer(dataset):
    _, parameters = noisy(MODEL, dataset.schema)
    biases = [path for path in parameters if path.endswith("distance/bias")]
    assert biases == ["blocks/0/distance/bias", "blocks/1/distance/bias"]
    assert all(parameters[path].shape == (MODEL.max_length,) for path in biases)
