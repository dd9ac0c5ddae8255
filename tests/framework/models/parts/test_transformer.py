import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from podway.framework.models.hstu import Layer
from podway.framework.models.parts.attention import AttentionMask
from podway.framework.models.parts.transformer import Block, Encoder, drop

KEY = jax.random.key(5)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.93])
@pytest.mark.parametrize("width", [64, 63], ids=["even", "odd"])
def test_dropout_drops_its_share_and_keeps_the_mean(rate, width):
    found = np.asarray(drop(rate, jnp.ones((4000, width)), KEY))
    kept = found > 0
    spread = np.sqrt(rate * (1 - rate) / kept.size)
    assert abs(kept.mean() - (1 - rate)) < 4 * spread + 2**-17
    assert abs(found.mean() - 1) < 4 * spread / (1 - rate) + 1e-4
    assert len(set(found[kept])) == 1
    # Both halves of a word, each as often, and each for itself.
    by_column = kept.mean(0)
    assert np.abs(by_column - (1 - rate)).max() < 5 * np.sqrt(rate * (1 - rate) / len(kept))
    first, second = kept[:, : width // 2], kept[:, -(width // 2) :]
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 5 / np.sqrt(first.size)


def test_the_key_says_what_is_dropped():
    x = jnp.ones((8, 32))
    np.testing.assert_array_equal(drop(0.5, x, KEY), drop(0.5, x, KEY))
    assert not np.array_equal(drop(0.5, x, KEY), drop(0.5, x, jax.random.key(6)))
    assert drop(0.5, x, None) is x
    assert drop(0.0, x, KEY) is x
    assert np.isfinite(jax.grad(lambda x: drop(0.999999, x, KEY).sum())(x)).all()


def test_a_gradient_passes_where_values_do():
    x = jnp.full((8, 32), 3.0)
    gradient = jax.grad(lambda x: drop(0.25, x, KEY).sum())(x)
    np.testing.assert_allclose(gradient * 3, drop(0.25, x, KEY), rtol=1e-6)
    assert drop(0.25, x.astype(jnp.bfloat16), KEY).dtype == jnp.bfloat16


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("kind", ["post", "pre", "ligr", "hstu"])
def test_one_position_is_as_among_all(kind, causal):
    rngs = nnx.Rngs(0)
    if kind == "hstu":
        blocks = [Layer(8, 2, 12, 0.1, rngs) for _ in range(2)]
    else:
        blocks = [Block(8, 2, 16, 0.1, kind, rngs) for _ in range(2)]
    encoder = Encoder(20, 20, 8, 12, 0.1, blocks, rngs)
    item = jax.random.normal(KEY, (3, 12, 8))
    at = jnp.array([0, 5, 11])
    attention_mask = AttentionMask(causal, jnp.array([[1] * 12, [1] * 7 + [0] * 5, [1] * 12]))
    every = encoder(item, attention_mask=attention_mask)
    alone = encoder(item, attention_mask=attention_mask, at=at)
    assert alone.shape == (3, 1, 8)
    np.testing.assert_allclose(alone[:, 0], every[jnp.arange(3), at], atol=2e-6)
    assert np.abs(every[0, 0] - every[0, 1]).max() > 0.1
