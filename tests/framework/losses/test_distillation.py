import jax
import jax.numpy as jnp
import numpy as np
import pytest

from podway.framework.losses import chunks
from podway.framework.losses.distillation import soft_cross_entropy
from podway.framework.schema.schema import FIRST_VALUE

BATCH, LENGTH, WIDTH, ROWS, ITEMS, TOP = 3, 7, 5, 16, 13, 4


def plain(hidden, table, ids, log_p, weights, temperature):
    """T² · KL over the known outcomes and the rest, position by position, without chunks."""
    logits = (hidden @ table.T)[..., FIRST_VALUE:ITEMS] / temperature
    q = jax.nn.softmax(logits, axis=-1)
    total = 0.0
    for b in range(BATCH):
        for at in range(LENGTH):
            known = [k for k in range(TOP) if int(ids[b, at, k]) >= FIRST_VALUE]
            own = [q[b, at, int(ids[b, at, k]) - FIRST_VALUE] for k in known]
            p = [jnp.exp(log_p[b, at, k]) for k in known]
            rest = max(0.0, 1 - float(sum(p)))
            term = sum(x * (jnp.log(x) - jnp.log(y)) for x, y in zip(p, own, strict=True))
            if rest > 0:
                others = [
                    q[b, at, i]
                    for i in range(ITEMS - FIRST_VALUE)
                    if i + FIRST_VALUE not in {int(ids[b, at, k]) for k in known}
                ]
                term += rest * (jnp.log(rest) - jnp.log(sum(others)))
            total += float(weights[b, at]) * term
    return temperature**2 * total / float(weights.sum())


@pytest.fixture(scope="module")
def example():
    draw = np.random.default_rng(0)
    hidden = draw.normal(size=(BATCH, LENGTH, WIDTH)).astype(np.float32)
    table = draw.normal(size=(ROWS, WIDTH)).astype(np.float32)
    teacher = draw.normal(size=(BATCH, LENGTH, ITEMS - FIRST_VALUE)) * 2
    log_p = np.asarray(jax.nn.log_softmax(teacher))
    order = np.argsort(-log_p, axis=-1)[..., :TOP]
    ids = (order + FIRST_VALUE).astype(np.int32)
    logs = np.take_along_axis(log_p, order, axis=-1).astype(np.float32)
    ids[0, 0, 3], logs[0, 0, 3] = 0, 0.0  # of this position fewer are known
    weights = draw.random((BATCH, LENGTH)).astype(np.float32)
    weights[1, 2] = 0
    return hidden, table, ids, logs, weights


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("chunk", [BATCH * ROWS * 2, 1 << 20])
def test_loss_and_gradients_are_those_of_the_plain_formula(
    example, temperature, chunk, monkeypatch
):
    monkeypatch.setitem(chunks.CHUNK_ELEMENTS, "cpu", chunk)
    hidden, table, ids, logs, weights = example

    def ours(hidden, table):
        return soft_cross_entropy(
            hidden, table, ids, logs, weights, temperature, FIRST_VALUE, ITEMS
        )

    def theirs(hidden, table):
        return plain(hidden, table, ids, logs, weights, temperature)

    value, gradients = jax.value_and_grad(ours, (0, 1))(hidden, table)
    expected, wanted = jax.value_and_grad(theirs, (0, 1))(hidden, table)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    for mine, plain_one in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(mine, plain_one, atol=2e-6)


def test_a_student_that_says_what_the_teacher_says_has_nothing_to_learn(example):
    hidden, table, _, _, weights = example
    logits = (hidden @ table.T)[..., FIRST_VALUE:ITEMS]
    logs, order = jax.lax.top_k(jax.nn.log_softmax(logits), TOP)
    arguments = (order + FIRST_VALUE, logs, weights, 1.0, FIRST_VALUE, ITEMS)
    value, gradients = jax.value_and_grad(soft_cross_entropy, (0, 1))(hidden, table, *arguments)
    np.testing.assert_allclose(value, 0, atol=1e-6)
    for each in gradients:
        np.testing.assert_allclose(each, 0, atol=1e-6)


def test_a_teacher_who_is_sure_makes_it_the_cross_entropy(example):
    hidden, table, _, _, _ = example
    targets = np.full((BATCH, LENGTH, 1), 5, np.int32)
    weights = np.ones((BATCH, LENGTH), bool)
    value = soft_cross_entropy(
        hidden, table, targets, np.zeros(targets.shape, np.float32), weights, 1.0, 2, ITEMS
    )
    logits = (hidden @ table.T)[..., FIRST_VALUE:ITEMS]
    expected = -jax.nn.log_softmax(logits)[..., 5 - FIRST_VALUE].mean()
    np.testing.assert_allclose(value, expected, rtol=1e-5)
