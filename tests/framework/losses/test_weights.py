"""Weights of positions: a weighted mean is that of the positions' own losses, gradients too."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from podway.framework.losses import binary, chunks, in_batch, sampled, softmax

BATCH, LENGTH, WIDTH, ROWS = 3, 5, 4, 12
FIRST = 2
WEIGHTS = np.array([[0, 2, 0.5, 1, 0], [1, 1, 0, 3, 0.25], [0, 0, 0, 0, 0]], np.float32)


@pytest.fixture
def losses():
    """Name → a loss of (hidden, table, weights)."""
    draw = np.random.default_rng(0)
    targets = jnp.asarray(draw.integers(FIRST, ROWS, (BATCH, LENGTH)), jnp.int32)
    drawn = jnp.asarray(draw.integers(FIRST, ROWS, 6), jnp.int32)

    def drawing(function, *last):
        def loss(hidden, table, weights):
            return function(hidden, table[targets], targets, weights, table[drawn], drawn, *last)

        return loss

    def of_batch(hidden, table, weights):
        flat, ids = hidden.reshape(-1, WIDTH), targets.reshape(-1)
        own = (flat * table[ids]).sum(-1)
        logits = flat @ table[drawn].T
        negative = drawn != ids[:, None]
        q, own_q = jnp.full(len(drawn), 0.1), jnp.full(len(ids), 0.1)
        return in_batch.corrected_softmax_cross_entropy(
            own, logits, negative, q, own_q, weights.reshape(-1)
        )

    def full(hidden, table, weights):
        return softmax.linear_softmax_cross_entropy(
            hidden, table, targets, weights, FIRST, ROWS, None
        )

    return {
        "softmax": full,
        "binary": drawing(functools.partial(binary.binary_cross_entropy), 1.3),
        "sampled": drawing(sampled.sampled_softmax_cross_entropy, ROWS - FIRST),
        "in batch": of_batch,
    }


@pytest.mark.parametrize("name", ["softmax", "binary", "sampled", "in batch"])
@pytest.mark.parametrize("chunk", [1 << 20, ROWS * BATCH])
def test_a_weighted_mean_is_that_of_the_positions(losses, name, chunk, monkeypatch):
    monkeypatch.setitem(chunks.CHUNK_ELEMENTS, "cpu", chunk)
    draw = np.random.default_rng(1)
    hidden = jnp.asarray(draw.normal(size=(BATCH, LENGTH, WIDTH)), jnp.float32)
    table = jnp.asarray(draw.normal(size=(ROWS, WIDTH)), jnp.float32)
    loss = losses[name]

    def one_by_one(hidden, table):
        total = 0.0
        for at in zip(*np.nonzero(WEIGHTS), strict=True):
            alone = np.zeros(WEIGHTS.shape, bool)
            alone[at] = True
            total += WEIGHTS[at] * loss(hidden, table, jnp.asarray(alone))
        return total / WEIGHTS.sum()

    weighted = functools.partial(loss, weights=jnp.asarray(WEIGHTS))
    found = jax.value_and_grad(weighted, (0, 1))(hidden, table)
    expected = jax.value_and_grad(one_by_one, (0, 1))(hidden, table)
    jax.tree.map(
        lambda ours, theirs: np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-6),
        found,
        expected,
    )
    ones = loss(hidden, table, jnp.ones(WEIGHTS.shape))
    np.testing.assert_allclose(ones, loss(hidden, table, jnp.ones(WEIGHTS.shape, bool)), rtol=1e-6)
    nothing = loss(hidden, table, jnp.zeros(WEIGHTS.shape))
    assert nothing == 0.0


@pytest.mark.parametrize("name", ["softmax", "binary", "sampled", "in batch"])
def test_small_weights_are_as_good_as_large_ones(losses, name):
    draw = np.random.default_rng(2)
    hidden = jnp.asarray(draw.normal(size=(BATCH, LENGTH, WIDTH)), jnp.float32)
    table = jnp.asarray(draw.normal(size=(ROWS, WIDTH)), jnp.float32)
    small, large = (losses[name](hidden, table, jnp.asarray(WEIGHTS * s)) for s in (1e-3, 1e3))
    np.testing.assert_allclose(small, large, rtol=1e-5)
