import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from podway.framework import task
from podway.framework.config import Mesh
from podway.framework.devices import sharding, topology
from podway.framework.embedding.lookup import EmbeddedRows
from podway.framework.error import ConfigError
from podway.framework.models import decoder
from podway.framework.models.decoder import Decoder
from podway.framework.preflight.compile import declared, examine
from podway.framework.training.state import describe_state
from tests.framework import experiments
from tests.framework.experiments import walks
from tests.framework.meshes import on_eight_devices

MODEL = Decoder(
    width=8, layers=3, heads=4, kv_heads=2, head_width=6, feed_forward=10, max_length=6, tied=False
)


@pytest.fixture(scope="module")
def built(dataset):
    parameters = task.initialize(MODEL, dataset.schema, jax.random.key(3))
    # Away from their initial ones, so that a forgotten scale shows.
    noise = np.random.default_rng(0)
    parameters = {
        path: array + 0.1 * noise.normal(size=array.shape).astype(np.float32)
        for path, array in sorted(parameters.items())
    }
    return task.structure(MODEL, dataset.schema), parameters


def numpy_logits(parameters, item):
    """The same model, written plainly for one text [length], position by position."""
    p = {path: np.asarray(array, np.float64) for path, array in parameters.items()}

    def norm(x, scale):
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * scale

    def turn(vector, position):
        """RoPE as complex numbers: (x_i + i·x_{i+d/2}) · e^{i·position·base^(−2i/d)}."""
        half = len(vector) // 2
        angles = position * MODEL.rope_base ** (-2 * np.arange(half) / len(vector))
        turned = (vector[:half] + 1j * vector[half:]) * np.exp(1j * angles)
        return np.concatenate([turned.real, turned.imag])

    x = p["item/embedding"][item]
    for layer in range(MODEL.layers):
        of = {path: array[layer] for path, array in p.items() if path.startswith("layers/")}
        normed = norm(x, of["layers/attention_norm/scale"])
        attended = np.zeros_like(x)
        for head in range(MODEL.heads):
            shared = head // (MODEL.heads // MODEL.kv_heads)
            q = [turn(of["layers/query/kernel"][head] @ h, t) for t, h in enumerate(normed)]
            k = [turn(of["layers/key/kernel"][shared] @ h, t) for t, h in enumerate(normed)]
            v = [of["layers/value/kernel"][shared] @ h for h in normed]
            for t in range(len(item)):
                scores = np.array([q[t] @ k[s] for s in range(t + 1)]) / np.sqrt(MODEL.head_width)
                weights = np.exp(scores - scores.max())
                weights /= weights.sum()
                mixed = sum(weight * each for weight, each in zip(weights, v, strict=False))
                attended[t] += mixed @ of["layers/out/kernel"][head]
        x = x + attended
        normed = norm(x, of["layers/feed_forward_norm/scale"])
        gate = normed @ of["layers/gate/kernel"]
        silu = gate / (1 + np.exp(-gate))
        x = x + (silu * (normed @ of["layers/up/kernel"])) @ of["layers/down/kernel"]
    return norm(x, p["norm/scale"]) @ p["output/embedding"].T


def test_scores_match_an_independent_computation(built, dataset):
    _, parameters = built
    texts = [[5, 9, 3], [7], list(range(2, 12)), [4, 4, 4, 4, 4, 4]]
    padded = np.zeros((len(texts), 12), np.int32)
    for row, text in enumerate(texts):
        padded[row, : len(text)] = text
    scores = experiments.scores(MODEL, dataset.schema, parameters, padded)
    items = dataset.schema["item"].size
    for row, text in enumerate(texts):
        expected = numpy_logits(parameters, text[-MODEL.max_length :])[-1]
        np.testing.assert_allclose(scores[row, 2:items], expected[2:items], atol=2e-5)
        assert np.isneginf(np.asarray(scores[row, :2])).all()
        assert np.isneginf(np.asarray(scores[row, items:])).all()


@pytest.mark.parametrize("remat", ["none", "products", "blocks"])
def test_loss_matches_an_independent_computation(built, dataset, remat):
    graph, parameters = built
    batch = np.array([[5, 9, 3, 8, 0, 0, 0], [6, 1, 7, 2, 9, 4, 3]], np.int32)
    found = MODEL.lookups(dataset.schema, {"item": batch}, jax.random.key(0))["item"]
    rows = {"item": EmbeddedRows(parameters[found.path][found.ids], found.ids)}
    loss, weight, metrics = MODEL.loss(
        task.merge(graph, parameters), {"item": batch}, rows, task.ForwardContext(remat=remat)
    )
    items, terms = dataset.schema["item"].size, []
    for row in batch:
        logits = numpy_logits(parameters, row[:-1])[:, 2:items]
        for position, target in enumerate(row[1:]):
            if target >= 2:  # neither padding nor out of vocabulary
                shifted = logits[position] - logits[position].max()
                terms.append(np.log(np.exp(shifted).sum()) - shifted[target - 2])
    assert len(terms) == weight == 3 + 5
    np.testing.assert_allclose(loss, np.mean(terms), rtol=1e-5)
    np.testing.assert_allclose(metrics["filled_positions"], 10 / 12)


def test_later_tokens_and_padding_do_not_reach_earlier_positions(built):
    graph, parameters = built
    module = task.merge(graph, parameters)
    embed = module.item.embedding
    short = module(embed[jnp.array([[5, 9, 3, 0, 0, 0]])])
    long = module(embed[jnp.array([[5, 9, 3, 8, 7, 2]])])
    np.testing.assert_array_equal(short[:, :3], long[:, :3])
    assert not np.allclose(short[:, 3:], long[:, 3:])


def test_attention_depends_on_distances_alone():
    draw = np.random.default_rng(2)
    query, key = (jnp.asarray(draw.normal(size=(1, 1, 1, 8)), jnp.float32) for _ in range(2))

    def product(query_at, key_at):
        def at(x, position):
            return decoder.rotate(jnp.tile(x, (1, position + 1, 1, 1)), 100.0)[0, position, 0]

        return float(at(query, query_at) @ at(key, key_at))

    assert product(7, 3) == pytest.approx(product(12, 8), abs=1e-5)
    assert product(7, 3) != pytest.approx(product(7, 4), abs=1e-3)


def test_layers_start_different_and_join_the_stream_small(dataset):
    model = dataclasses.replace(MODEL, width=64, layers=8)
    parameters = task.initialize(model, dataset.schema, jax.random.key(0))
    up, down = (np.asarray(parameters[f"layers/{name}/kernel"]) for name in ("up", "down"))
    assert not np.allclose(up[0], up[1])
    assert up.shape == (8, 64, 10)
    # Each of 16 branches adds a sixteenth of a product's variance.
    assert down.std() == pytest.approx(10**-0.5 / 4, rel=0.1)
    tied = task.initialize(dataclasses.replace(model, tied=True), dataset.schema, jax.random.key(0))
    assert set(parameters) - set(tied) == {"output/embedding"}


def test_only_biases_and_norms_do_not_decay(built):
    _, parameters = built
    optimizer = walks().optimizer
    decayed = dataclasses.replace(optimizer, weight_decay=0.5, warmup_steps=0).build(10)
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    updates, _ = decayed.update(zeros, decayed.init(parameters), parameters)
    still = {path for path, update in updates.items() if not np.any(update)}
    assert still == {path for path in parameters if path.endswith("/scale")}
    assert len(still) == 3


def test_impossible_shapes_name_their_field():
    with pytest.raises(ConfigError, match=r"model\.kv_heads is 3, which does not divide"):
        Decoder(heads=4, kv_heads=3)
    with pytest.raises(ConfigError, match=r"model\.head_width is 5; give an even"):
        Decoder(head_width=5)
    with pytest.raises(ConfigError, match=r"model\.layers is 0"):
        Decoder(layers=0)


def test_key_heads_that_do_not_divide_among_devices_are_an_error():
    experiment = dataclasses.replace(walks(), model=Decoder(heads=8, kv_heads=2))
    sizes = {"slice": 1, "data": 1, "fsdp": 2, "tensor": 4}
    with pytest.raises(sharding.ShardingError, match=r"layers/key/kernel .* 4 does not divide 2"):
        describe_state(experiment, declared(1000, 10, 50), sizes)


@pytest.mark.slow
def test_a_pod_gathers_parameters_and_never_the_batch():
    """The same bytes for twice the batch; and no collective of more than a table."""
    wide = Decoder(width=256, layers=3, heads=2, kv_heads=2, head_width=128, feed_forward=512)
    schema, sent = declared(1000, 10, 257), []
    for batch_size in (8, 16):
        experiment = dataclasses.replace(
            walks(batch_size=batch_size, precision="bf16", remat="blocks"),
            model=wide,
            mesh=Mesh(fsdp=2),
        )
        report = examine(experiment, schema, topology.parse("v5e:2x2"), evaluation=False)
        found = report.train.collectives
        assert any(each.kind == "all-gather" and each.axes == ("fsdp",) for each in found)
        sent.append(sum(each.wire_bytes for each in found))
    assert sent[1] == pytest.approx(sent[0], rel=0.01)
    # A gradient is added up in f32, gathered twice in bf16.
    held = report.train.usage.parts["parameters"] * 2
    assert sent[1] < 3 * held


CASES = {
    "one": {"mesh": {"data": 1}},
    "fsdp": {"mesh": {"fsdp": 8}},
    "data, fsdp, tensor": {"mesh": {"fsdp": 2, "tensor": 2}},
    "in parts, remat": {
        "mesh": {"fsdp": 2, "tensor": 2},
        "trainer": {"accumulate": 2, "remat": "blocks"},
    },
    "products": {"mesh": {"data": 4, "tensor": 2}, "trainer": {"remat": "products"}},
}


@pytest.fixture(scope="module")
def losses(dataset):
    """{case: losses of 20 steps}, f32, on 8 forced devices."""
    cases = {name: case | {"family": "decoder"} for name, case in CASES.items()}
    return on_eight_devices(dataset, cases)


@pytest.mark.parametrize("case", [case for case in CASES if case != "one"])
def test_every_mixture_of_axes_gives_the_losses_of_one_device(losses, case):
    assert len(losses["one"]) == 20
    assert losses["one"][-1] < 0.85 * losses["one"][0]
    np.testing.assert_allclose(losses[case], losses["one"], atol=1e-5, rtol=0)
