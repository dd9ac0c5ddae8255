"""The softmax from a batch's own targets: by NumPy, and against the whole catalogue's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from podway.framework.losses import in_batch


@pytest.fixture
def arrays():
    generator = np.random.default_rng(0)
    return {
        "own": generator.normal(size=5),
        "logits": generator.normal(size=(5, 9)),
        "negative": generator.random((5, 9)) < 0.7,
        "q": generator.dirichlet(np.ones(9)),
        "own_q": generator.random(5) * 0.3,
        "weights": np.array([True, True, False, True, True]),
    }


def test_the_loss_matches_an_independent_computation(arrays):
    arrays["negative"][3] = False
    terms = []
    for n in np.flatnonzero(arrays["weights"]):
        total, drawn = 0.0, arrays["negative"][n].sum()
        for k in np.flatnonzero(arrays["negative"][n]):
            each = (1 - arrays["own_q"][n]) / (arrays["q"][k] * drawn)
            total += each * np.exp(arrays["logits"][n, k])
        terms.append(np.log(np.exp(arrays["own"][n]) + total) - arrays["own"][n])
    assert abs(terms[2]) < 1e-12, "an example without negatives has nothing to lose"
    loss = in_batch.corrected_softmax_cross_entropy(**arrays)
    np.testing.assert_allclose(loss, np.mean(terms), rtol=1e-6)


def test_what_is_masked_reaches_neither_the_loss_nor_its_gradient(arrays):
    arrays["q"][4], arrays["negative"][:, 4] = 0.0, False
    arrays["negative"][3] = False

    def loss(own, logits):
        return in_batch.corrected_softmax_cross_entropy(**(arrays | {"own": own, "logits": logits}))

    own, logits = jax.grad(loss, (0, 1))(arrays["own"], arrays["logits"])
    assert np.isfinite(own).all()
    assert (np.asarray(logits)[~arrays["negative"]] == 0).all()
    assert not np.asarray(logits)[2].any()
    assert np.asarray(logits)[arrays["negative"] & arrays["weights"][:, None]].all()


def test_negatives_are_no_accidental_hits_and_not_of_the_same_user():
    targets, owners = jnp.array([7, 8, 7]), jnp.array([0, 0, 1])
    candidates, of, valid = (
        jnp.array([7, 8, 7, 9, 9]),
        jnp.array([0, 0, 1, -1, -1]),
        [1, 1, 1, 1, 0],
    )
    found = in_batch.negatives_of(targets, owners, candidates, of, jnp.array(valid) > 0)
    np.testing.assert_array_equal(found, [[0, 0, 0, 1, 0], [0, 0, 1, 1, 0], [0, 1, 0, 1, 0]])


def test_mixed_shares_are_those_of_the_pool():
    share, uniform = np.array([0.5, 0.3, 0.2, 0.0]), np.array([0.25, 0.25, 0.25, 0.25])
    generator = np.random.default_rng(0)
    pool = np.concatenate(
        [generator.choice(4, (4000, 6), p=share), generator.choice(4, (4000, 2))], axis=1
    )
    found = in_batch.mixed_shares(share, uniform, 6.0, 2)
    np.testing.assert_allclose(found, np.bincount(pool.ravel()) / pool.size, atol=0.01)
    np.testing.assert_allclose(np.sum(found), 1, rtol=1e-6)


def gradients(scores: np.ndarray, share: np.ndarray, sign: float, uniform: int) -> np.ndarray:
    """Mean gradient by the scores of all items where item 1 is the target, over many batches."""
    items, draws, batches = len(scores), 4096, 64
    generator = np.random.default_rng(1)
    popular = generator.choice(items, (batches, draws), p=share)
    even = generator.choice(items, (batches, uniform))
    candidates = np.concatenate([popular, even], axis=1)
    q = in_batch.mixed_shares(share, np.full(items, 1 / items), draws, uniform)

    def loss(scores, candidates):
        return in_batch.corrected_softmax_cross_entropy(
            own=scores[1:2],
            logits=scores[candidates][None],
            negative=(candidates != 1)[None],
            q=q[candidates] ** sign,
            own_q=q[1:2],
            weights=jnp.array([True]),
        )

    each = jax.vmap(jax.grad(loss), (None, 0))(jnp.asarray(scores), jnp.asarray(candidates))
    return np.asarray(each).mean(0)


@pytest.mark.parametrize("uniform", [0, 2048])
def test_the_correction_gives_the_gradient_of_the_whole_softmax_and_has_its_sign(uniform):
    """Shares from 0.2 % to 60 %: the batch alone says little of what the catalogue would."""
    share = np.array([0.6, 0.2, 0.1, 0.05, 0.03, 0.01, 0.008, 0.002])
    scores = np.array([0.3, 0.5, -0.2, 0.9, 0.1, 0.4, -0.5, 0.8])
    whole = np.exp(scores) / np.exp(scores).sum() - (np.arange(8) == 1)
    error = {
        sign: np.abs(gradients(scores, share, sign, uniform) - whole).max() for sign in (1, 0, -1)
    }
    assert error[1] < 0.015
    assert error[0] > 10 * error[1], "without the correction"
    assert error[-1] > 10 * error[1], "with its sign turned"
