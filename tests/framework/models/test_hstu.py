import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from podway.framework import task
from podway.framework.config import Columns, Evaluation
from podway.framework.embedding.lookup import EmbeddedRows
from podway.framework.error import ConfigError
from podway.framework.evaluation.evaluator import answers
from podway.framework.evaluation.evaluators import evaluator_of
from podway.framework.models import hstu
from podway.framework.models.hstu import Hstu
from podway.framework.models.parts.attention import CAUSAL
from podway.framework.schema.schema import OUT_OF_VOCABULARY
from tests.framework import experiments
from tests.framework.conftest import times_of
from tests.framework.experiments import noisy, walks

MODEL = Hstu(width=8, blocks=2, heads=2, max_length=6)


def numpy_logits(parameters, item, times=None):
    """The paper's formula, a query and a head at a time: logits at the last item.

    With times (whole seconds), the biases of those between two events too.
    """
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
                    score = q[t] @ k[s] + p[f"{name}/distance/bias"][t - s]
                    if times is not None:
                        of_time = p[f"{name}/elapsed/bias"]
                        bucket = math.floor(math.log(max(1, times[t] - times[s])) / 0.301)
                        score += of_time[min(bucket, len(of_time) - 1)]
                    seen[t] += silu(score) * v[s] / (t + 1)
            attended.append(seen)
        mixed = norm(np.concatenate(attended, -1), f"{name}/attention_norm")
        mixed *= np.concatenate(gates, -1)
        x = x + mixed @ p[f"{name}/out/kernel"] + p[f"{name}/out/bias"]
    return norm(x[-1:], "norm")[0] @ p["item/embedding"].T


def test_scores_match_an_independent_computation(dataset):
    _, parameters = noisy(MODEL, dataset.schema)
    histories = [[5, 9, 3], [7], list(range(2, 12)), [4, 4, 4, 4, 4, 4]]
    padded = np.zeros((len(histories), 12), np.int32)
    for row, history in enumerate(histories):
        padded[row, : len(history)] = history
    scores = experiments.scores(MODEL, dataset.schema, parameters, padded)
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


TIMED = dataclasses.replace(MODEL, time_buckets=40)


def test_buckets_are_those_of_the_published_formula():
    """At the ends of each bucket too, where floats would say now one, now the other."""
    ends = [math.ceil(math.exp(0.301 * n)) + d for n in range(72) for d in (-1, 0, 1)]
    seconds = [-5, 0, *ends, 10**6, 2**31 - 1]
    wanted = [math.floor(math.log(max(1, each)) / 0.301) for each in seconds]
    found = hstu.bucket(jnp.asarray(seconds, jnp.int32), hstu.MOST_BUCKETS)
    assert found.tolist() == wanted
    assert max(wanted) == hstu.MOST_BUCKETS - 1
    few = hstu.bucket(jnp.asarray(seconds, jnp.int32), 20)
    assert few.tolist() == [min(each, 19) for each in wanted]


def drawn_times(rows, length, longest=6, seed=0):
    """Whole seconds, rising, between which lie up to exp(longest)."""
    gaps = np.exp(np.random.default_rng(seed).uniform(0, longest, (rows, length))).astype(np.int32)
    return np.cumsum(gaps - 1, axis=1)


def test_timed_scores_match_an_independent_computation(dataset):
    _, parameters = noisy(TIMED, dataset.schema)
    histories = [[5, 9, 3], [7], list(range(2, 12)), [4, 4, 4, 4, 4, 4]]
    time = drawn_times(len(histories), 12, longest=15)
    padded = np.zeros((len(histories), 12), np.int32)
    for row, history in enumerate(histories):
        padded[row, : len(history)] = history
    given = jnp.asarray(np.where(padded, time, 0))
    scores = experiments.scores(TIMED, dataset.schema, parameters, padded, time=given)
    items, most = dataset.schema["item"].size, TIMED.max_length
    for row, history in enumerate(histories):
        own = time[row, : len(history)].tolist()
        expected = numpy_logits(parameters, history[-most:], own[-most:])
        np.testing.assert_allclose(scores[row, 2:items], expected[2:items], atol=2e-5)


ITEMS = np.array([[5, 9, 3, 8, 7, 2, 4], [6, 3, 7, 2, 9, 4, 3]], np.int32)


def states_and_losses(model, dataset):
    """A function of times: the states of all positions, and the loss of each of them."""
    graph, parameters = noisy(model, dataset.schema)
    table = parameters["item/embedding"]
    rows = {"item": EmbeddedRows(table[ITEMS], jnp.asarray(ITEMS))}

    @jax.jit
    def compute(time):
        states, losses = [], []

        class Recorded:
            """The module, whose states are kept."""

            def __init__(self):
                self.module = task.merge(graph, parameters)

            def __getattr__(self, name):
                return getattr(self.module, name)

            def __call__(self, *arguments):
                states.append(self.module(*arguments))
                return states[-1]

        for position in range(ITEMS.shape[1] - 1):
            # The loss of this position alone: no other has a target that is known.
            item = np.where(np.arange(ITEMS.shape[1]) == position + 1, ITEMS, OUT_OF_VOCABULARY)
            batch = {"item": jnp.asarray(item), "time": time}
            losses.append(model.loss(Recorded(), batch, rows, task.ForwardContext())[0])
        return states[0], jnp.stack(losses)

    return compute


def test_the_time_of_the_target_is_never_seen(dataset):
    """Not when it trains: no bit of a position's state or loss depends on a later time."""
    compute = states_and_losses(TIMED, dataset)
    time = drawn_times(2, 7)
    states, losses = map(np.asarray, compute(jnp.asarray(time)))
    for position in range(6):
        later = time.copy()
        later[:, position + 1 :] += drawn_times(2, 6 - position, seed=1) + 10**6
        changed, its_losses = map(np.asarray, compute(jnp.asarray(later)))
        np.testing.assert_array_equal(changed[:, : position + 1], states[:, : position + 1])
        np.testing.assert_array_equal(its_losses[: position + 1], losses[: position + 1])
        if position < 5:
            assert (changed[:, position + 1 :] != states[:, position + 1 :]).any(-1).all()
            assert (its_losses[position + 1 :] != losses[position + 1 :]).all()


def test_an_earlier_time_is_seen(dataset):
    compute = states_and_losses(TIMED, dataset)
    time = drawn_times(2, 7)
    states, losses = map(np.asarray, compute(jnp.asarray(time)))
    for position in range(6):
        earlier = time.copy()
        earlier[:, position] -= 10**6
        changed, its_losses = map(np.asarray, compute(jnp.asarray(earlier)))
        assert (changed[:, position + 1 :] != states[:, position + 1 :]).any(-1).all()
        assert (its_losses[position + 1 :] != losses[position + 1 :]).all()


def test_only_differences_of_times_matter(dataset):
    compute = states_and_losses(TIMED, dataset)
    time = drawn_times(2, 7)
    for one, other in zip(
        compute(jnp.asarray(time)), compute(jnp.asarray(time + 12345)), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_what_reads_no_times_is_what_it_was(dataset):
    assert MODEL.lengths(dataset.schema) == {"item": 7}
    assert TIMED.lengths(dataset.schema) == {"item": 7, "time": 7}
    plain, timed = (
        task.initialize(each, dataset.schema, jax.random.key(0)) for each in (MODEL, TIMED)
    )
    added = {path for path in timed if path not in plain}
    assert added == {"blocks/0/elapsed/bias", "blocks/1/elapsed/bias"}
    assert plain.keys() <= timed.keys()


def test_it_is_evaluated_by_the_times_of_the_history(dataset, histories):
    """The rank of each user's target, from the independent computation."""
    _, parameters = noisy(TIMED, dataset.schema)
    evaluator = evaluator_of(TIMED, Evaluation(cutoffs=(5,), batch_size=32, bootstrap=10))
    found = evaluator.for_split(dataset, "test")(answers(evaluator, dataset.schema, parameters))
    assert found.ranks is not None
    most = TIMED.max_length
    for user in range(12):
        items, times = histories[user], times_of(histories[user]) // 10**6
        scores = numpy_logits(parameters, items[:-1][-most:], times[:-1][-most:].tolist())
        scores = scores[: dataset.schema["item"].size]
        scores[:2] = -np.inf
        target, unseen = items[-1], ~np.isin(np.arange(len(scores)), items[:-1])
        rank = 1 + (unseen & (scores > scores[target])).sum()
        if unseen[target]:
            assert found.ranks[user] == rank


def test_what_has_no_clock_is_refused():
    with pytest.raises(ConfigError, match=r"data\.columns\.time of 'walks' is None"):
        experiment = dataclasses.replace(walks(), model=TIMED)
        data = dataclasses.replace(experiment.data, columns=Columns(time=None))
        dataclasses.replace(experiment, data=data)
    with pytest.raises(ConfigError, match=r"model\.time_buckets is 73; give 0 to 72"):
        dataclasses.replace(MODEL, time_buckets=73)


@pytest.mark.parametrize("length", [1, 2, 5, 33])
def test_a_bias_by_distance_and_its_gradient_by_hand(length):
    generator = np.random.default_rng(length)
    bias = generator.normal(size=length).astype(np.float32)
    weight = generator.normal(size=(length, length)).astype(np.float32)
    placed, pull = jax.vjp(hstu.by_distance, bias)
    expected = np.zeros(length)
    for q in range(length):
        for k in range(length):
            assert placed[q, k] == bias[max(q - k, 0)]
            expected[max(q - k, 0)] += weight[q, k]
    np.testing.assert_allclose(pull(weight)[0], expected, atol=2e-5)


@pytest.mark.parametrize("buckets", [0, 16])
def test_the_biases_gradients_in_bf16_are_those_of_f32(buckets):
    """Of a long history, which adds as many numbers as bf16 has none for."""
    length, layer = 512, hstu.Layer(8, 2, 512, 0.0, nnx.Rngs(0), buckets)
    graph, parameters = nnx.split(layer)
    x = jax.random.normal(jax.random.key(0), (4, length, 8))
    time = jnp.cumsum(jax.random.randint(jax.random.key(1), (4, length), 0, 99), axis=1)
    mask = dataclasses.replace(CAUSAL, time=time if buckets else None)

    @functools.partial(jax.jit, static_argnums=0)
    def gradients(dtype):
        def loss(parameters):
            parameters = jax.tree.map(lambda each: each.astype(dtype), parameters)
            made = nnx.merge(graph, parameters)
            weights = jnp.arange(length)[:, None] / length
            out = made(x.astype(dtype), mask, task.ForwardContext())
            return (out.astype(jnp.float32) * weights).sum()

        found = jax.grad(loss)(parameters)
        return {"distance": found.distance.bias, "elapsed": found.elapsed.bias if buckets else 0}

    ours, theirs = gradients(jnp.bfloat16), gradients(jnp.float32)
    for name in ("distance", "elapsed") if buckets else ("distance",):
        a, b = (np.asarray(each[name][...]) for each in (ours, theirs))
        assert np.abs(a - b).max() < 0.02 * np.abs(b).max(), name


def test_no_gradient_of_the_distances_is_a_scatter():
    graph, parameters = nnx.split(hstu.Layer(8, 2, 16, 0.0, nnx.Rngs(0)))

    def loss(parameters):
        layer = nnx.merge(graph, parameters)
        return layer(jnp.ones((2, 16, 8)), CAUSAL, task.ForwardContext()).sum()

    assert "scatter" not in str(jax.make_jaxpr(jax.grad(loss))(parameters))
