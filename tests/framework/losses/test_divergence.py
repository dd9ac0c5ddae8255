import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from podway.framework.losses import chunks
from podway.framework.losses.divergence import divergence
from podway.framework.schema.schema import FIRST_VALUE

BATCH, LENGTH, WIDTH, ROWS, ITEMS = 3, 7, 5, 16, 13
WIDTHS = (6, 4)
"""Of two teachers."""
CHUNKS = {"whole": 1 << 20, "positions": BATCH * ROWS * 2, "rows": BATCH * ROWS // 4}
"""Logits at once: all, those of two or three positions, and those of some rows of one."""


def plain(hidden, table, teachers, weights, temperature):
    """T² · Σ p (log p − log q), with all logits at once."""
    among = slice(FIRST_VALUE, ITEMS)
    q = jax.nn.log_softmax((hidden @ table.T)[..., among] / temperature)
    each = [jax.nn.softmax((h @ t.T)[..., among] / temperature) for h, t in teachers]
    p = sum(each) / len(each)
    terms = (p * (jnp.log(p) - q)).sum(-1)
    return temperature**2 * (weights * terms).sum() / weights.sum()


@pytest.fixture(scope="module")
def example():
    draw = np.random.default_rng(0)

    def normal(*shape):
        return draw.normal(size=shape).astype(np.float32)

    hidden, table = normal(BATCH, LENGTH, WIDTH), normal(ROWS, WIDTH)
    teachers = tuple((normal(BATCH, LENGTH, w), normal(ROWS, w)) for w in WIDTHS)
    weights = draw.random((BATCH, LENGTH)).astype(np.float32)
    weights[1, 2:] = 0
    return hidden, table, teachers, weights


def ours(teachers, weights, temperature):
    def loss(hidden, table):
        return divergence(hidden, table, teachers, weights, temperature, FIRST_VALUE, ITEMS)

    return jax.value_and_grad(loss, (0, 1))


@pytest.mark.parametrize("chunk", CHUNKS.values(), ids=CHUNKS)
@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("count", [1, 2])
def test_loss_and_gradients_are_those_of_the_plain_formula(
    example, count, temperature, chunk, monkeypatch
):
    monkeypatch.setitem(chunks.CHUNK_ELEMENTS, "cpu", chunk)
    hidden, table, teachers, weights = example
    teachers = teachers[:count]
    value, gradients = ours(teachers, weights, temperature)(hidden, table)
    expected, wanted = jax.value_and_grad(
        lambda h, t: plain(h, t, teachers, weights, temperature), (0, 1)
    )(hidden, table)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    for mine, plain_one in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(mine, plain_one, atol=2e-6)


def test_by_hand():
    """Two items. A teacher of logits (ln 3, 0) says ¾ and ¼, a student of (0, 0) says ½ and ½."""
    hidden, table = jnp.array([[[0.0]]]), jnp.array([[9.0], [9.0], [1.0], [0.0]])
    teacher = jnp.array([[[math.log(3)]]]), table
    weights = jnp.ones((1, 1), bool)
    value, (of_hidden, of_table) = jax.value_and_grad(divergence, (0, 1))(
        hidden, table, (teacher,), weights, 1.0, 2, 4
    )
    np.testing.assert_allclose(value, 0.75 * math.log(1.5) + 0.25 * math.log(0.5), rtol=1e-6)
    np.testing.assert_allclose(of_hidden, [[[0.5 - 0.75]]], rtol=1e-6)  # (q − p) of the first item
    np.testing.assert_allclose(of_table, np.zeros((4, 1)), atol=1e-7)


@pytest.mark.parametrize("chunk", CHUNKS.values(), ids=CHUNKS)
def test_what_does_not_count_may_be_anything(example, chunk, monkeypatch):
    monkeypatch.setitem(chunks.CHUNK_ELEMENTS, "cpu", chunk)
    hidden, table, teachers, weights = example
    value, gradients = ours(teachers, weights, 1.0)(hidden, table)
    wrong = [(np.where((weights > 0)[..., None], h, np.nan), t) for h, t in teachers]
    again, others = ours(tuple(wrong), weights, 1.0)(hidden, table)
    np.testing.assert_allclose(again, value, rtol=1e-6)
    for mine, other in zip(gradients, others, strict=True):
        np.testing.assert_allclose(other, mine, atol=1e-7)
    none, zeros = ours(teachers, np.zeros_like(weights), 1.0)(hidden, table)
    assert none == 0
    assert all((np.asarray(each) == 0).all() for each in zeros)


def test_a_student_that_says_what_its_teacher_says_has_nothing_to_learn(example):
    hidden, table, _, weights = example
    value, gradients = ours(((hidden, table),), weights, 2.0)(hidden, table)
    np.testing.assert_allclose(value, 0, atol=1e-6)
    for each in gradients:
        np.testing.assert_allclose(each, 0, atol=1e-6)


@pytest.mark.parametrize("chunk", CHUNKS.values(), ids=CHUNKS)
def test_in_bf16_it_is_about_the_same(example, chunk, monkeypatch):
    monkeypatch.setitem(chunks.CHUNK_ELEMENTS, "cpu", chunk)
    hidden, table, teachers, weights = example
    value, gradients = ours(teachers, weights, 1.0)(hidden, table)
    half = [jnp.asarray(each, jnp.bfloat16) for each in (hidden, table)]
    again, others = ours(teachers, weights, 1.0)(*half)
    assert again.dtype == jnp.float32
    np.testing.assert_allclose(again, value, rtol=0.02)
    for mine, other in zip(gradients, others, strict=True):
        assert other.dtype == jnp.bfloat16
        np.testing.assert_allclose(np.asarray(other, np.float32), mine, atol=0.02)


@pytest.mark.parametrize("chunk", [CHUNKS["positions"], CHUNKS["rows"]])
def test_logits_of_all_positions_and_rows_never_exist_at_once(example, chunk, monkeypatch):
    monkeypatch.setitem(chunks.CHUNK_ELEMENTS, "cpu", chunk)
    hidden, table, teachers, weights = example
    compiled = jax.jit(ours(teachers, weights, 1.0)).lower(hidden, table).compile()
    shapes = re.findall(r"\b(?:f32|bf16|pred|s32)\[([\d,]+)\]", compiled.as_text())
    largest = max(math.prod(map(int, shape.split(","))) for shape in shapes)
    # Where all logits may exist at once, one array has BATCH · LENGTH · ROWS = 336 numbers or more.
    assert largest <= max(BATCH * LENGTH * (max(WIDTHS) + 2), chunk), largest
