from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from podway.framework.losses import chunks, softmax

FIRST, LAST = 2, 10
loss_of: Any = softmax.linear_softmax_cross_entropy  # pyright does not see through custom_vjp


def plainly(hidden, table, targets, weights):
    """The same loss with all logits at once, differentiated by JAX."""
    logits = (hidden @ table.T)[..., FIRST:LAST]
    picked = jnp.take_along_axis(logits, targets[..., None] - FIRST, axis=-1)[..., 0]
    terms = jax.nn.logsumexp(logits, axis=-1) - picked
    return jnp.where(weights, terms, 0).sum() / weights.sum()


@pytest.fixture
def arrays():
    generator = np.random.default_rng(0)
    hidden = generator.normal(size=(3, 7, 5)).astype(np.float32)
    table = generator.normal(size=(12, 5)).astype(np.float32)
    targets = generator.integers(FIRST, LAST, (3, 7)).astype(np.int32)
    weights = generator.random((3, 7)) < 0.6
    return hidden, table, targets, weights


@pytest.mark.parametrize("positions", [1, 2, 3, 7, 100])
def test_value_and_gradients_equal_the_plain_ones_for_any_chunk(arrays, positions, monkeypatch):
    monkeypatch.setitem(chunks.CHUNK_ELEMENTS, jax.default_backend(), positions * 3 * 12)
    hidden, table, targets, weights = arrays
    ours = jax.value_and_grad(
        lambda h, t: 3 * loss_of(h, t, targets, weights, FIRST, LAST),
        (0, 1),
    )(hidden, table)
    theirs = jax.value_and_grad(lambda h, t: 3 * plainly(h, t, targets, weights), (0, 1))(
        hidden, table
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6), ours, theirs)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 6])
def test_rows_in_blocks_make_no_difference(arrays, rows, monkeypatch):
    """The first block of one row is left out as a whole, and so is the last."""
    monkeypatch.setitem(chunks.CHUNK_ELEMENTS, jax.default_backend(), rows * 3)
    hidden, table, targets, weights = arrays
    ours = jax.value_and_grad(
        lambda h, t: 3 * loss_of(h, t, targets, weights, FIRST, LAST),
        (0, 1),
    )(hidden, table)
    theirs = jax.value_and_grad(lambda h, t: 3 * plainly(h, t, targets, weights), (0, 1))(
        hidden, table
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6), ours, theirs)


def test_masked_positions_may_have_any_target(arrays):
    hidden, table, targets, weights = arrays
    padded = np.where(weights, targets, 0)
    loss = loss_of(hidden, table, padded, weights, FIRST, LAST)
    np.testing.assert_allclose(loss, plainly(hidden, table, targets, weights), rtol=1e-6)


def test_by_hand():
    probabilities = np.array([[[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]], np.float32)
    loss = loss_of(
        jnp.log(probabilities), jnp.eye(3), jnp.array([[0, 1]]), jnp.array([[True, True]]), 0, 3
    )
    np.testing.assert_allclose(loss, (np.log(2) - np.log(0.8)) / 2, rtol=1e-6)


def temporary_bytes(batch: int, length: int, rows: int) -> int:
    shapes = (
        jax.ShapeDtypeStruct((batch, length, 16), jnp.float32),
        jax.ShapeDtypeStruct((rows, 16), jnp.float32),
        jax.ShapeDtypeStruct((batch, length), jnp.int32),
        jax.ShapeDtypeStruct((batch, length), jnp.bool_),
    )

    def loss(h, t, y, w):
        return softmax.linear_softmax_cross_entropy(h, t, y, w, 2, rows)

    compiled = jax.jit(jax.grad(loss, (0, 1))).lower(*shapes).compile()
    memory = compiled.memory_analysis()
    assert memory is not None
    return memory.temp_size_in_bytes


def test_logits_never_exist_as_a_whole():
    batch, length, rows = 8, 64, 1 << 16
    assert temporary_bytes(batch, length, rows) < batch * length * rows * 4 / 2


def test_memory_beside_the_tables_does_not_grow_with_the_rows():
    """A table's worth is allowed for, times the few copies of its gradient that exist."""
    batch, length = 64, 8
    few, many = 1 << 14, 1 << 18
    grown = temporary_bytes(batch, length, many) - temporary_bytes(batch, length, few)
    one_position = batch * many * 4
    assert grown < 4 * (many - few) * 16 * 4 + one_position / 8
