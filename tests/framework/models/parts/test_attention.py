"""Attention's programs against the definition, and against each other. Also meant for a GPU."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from podway.framework.error import ConfigError
from podway.framework.models.parts import attention
from podway.framework.models.parts.attention import AttentionMask, attend, attend_at

GPU = jax.default_backend() == "gpu"
SEGMENT = jnp.asarray(np.repeat([[1, 2, 3, 0], [1, 1, 2, 2]], 50, axis=1), jnp.int32)
MASKS = {
    "causal": AttentionMask(),
    "both ways": AttentionMask(causal=False),
    "causal in segments": AttentionMask(segment=SEGMENT),
    "both ways in segments": AttentionMask(causal=False, segment=SEGMENT),
}


@pytest.fixture(autouse=True)
def _products_in_f32():
    """A GPU would multiply f32 as TF32, which is no rounding of f32."""
    with jax.default_matmul_precision("highest"):
        yield


each_mask = pytest.mark.parametrize("attention_mask", MASKS.values(), ids=MASKS)


def drawn(length=200, heads=4, kv_heads=2, width=16, dtype=jnp.float32):
    draw = np.random.default_rng(0)
    return [
        jnp.asarray(draw.normal(size=(2, length, each, width)), dtype)
        for each in (heads, kv_heads, kv_heads)
    ]


def by_definition(query, key, value, attention_mask):
    """One query of one head at a time, in f64."""
    query, key, value = (np.asarray(each, np.float64) for each in (query, key, value))
    attended, (_, length, heads, width) = np.zeros(query.shape), query.shape
    at = np.arange(length)
    for row, t, head in np.ndindex(query.shape[:3]):
        seen = at <= t if attention_mask.causal else at >= 0
        if attention_mask.segment is not None:
            seen = seen & np.asarray(attention_mask.segment[row] == attention_mask.segment[row, t])
        shared = head // (heads // key.shape[2])
        scores = key[row, seen, shared] @ query[row, t, head] / np.sqrt(width)
        weights = np.exp(scores - scores.max())
        attended[row, t, head] = weights / weights.sum() @ value[row, seen, shared]
    return attended


def with_gradients(compute, arguments):
    """What is attended, and the gradients of a number made of it."""

    def total(*arguments):
        attended = compute(*arguments).astype(jnp.float32)
        return jnp.sin(attended).sum(), attended

    gradients, attended = jax.jit(jax.grad(total, (0, 1, 2), has_aux=True))(*arguments)
    return [np.asarray(each, np.float32) for each in (attended, *gradients)]


@each_mask
def test_attention_is_as_defined(attention_mask):
    arguments = drawn()
    with jax.default_matmul_precision("float32"):
        found = jax.jit(lambda *a: attend(*a, attention_mask))(*arguments)
    np.testing.assert_allclose(found, by_definition(*arguments, attention_mask), atol=2e-6)


@each_mask
@pytest.mark.parametrize("queries", [1024, 64], ids=["short", "long"])
def test_stretches_are_equal_to_the_whole(attention_mask, queries, monkeypatch):
    arguments = drawn(length=200)

    def computed():
        with jax.default_matmul_precision("float32"):
            return with_gradients(lambda *a: attend(*a, attention_mask), arguments)

    monkeypatch.setattr(attention, "QUERIES", queries)
    parts = list(attention_mask.stretches(200))
    assert len(parts) == (4 if attention_mask.causal or queries == 64 else 1)
    stretched = computed()
    monkeypatch.setattr(attention, "QUERIES", 200)
    monkeypatch.setattr(attention, "STRETCHES", 1)
    assert list(attention_mask.stretches(200)) == [(0, 200, 200)]
    for one, other in zip(stretched, computed(), strict=True):
        np.testing.assert_allclose(one, other, atol=5e-6, rtol=2e-6)


@each_mask
def test_one_position_is_as_among_all(attention_mask):
    arguments = drawn()
    batch, length = arguments[0].shape[:2]
    every = attend(*arguments, attention_mask)
    for at in np.random.default_rng(0).integers(0, length, (5, batch)):
        found = attend_at(jnp.asarray(at), *arguments, attention_mask)
        np.testing.assert_allclose(found[:, 0], every[np.arange(batch), at], atol=2e-6)


@pytest.mark.parametrize("length", [1, 47, 50, 97, 200, 1024, 1025, 3000])
def test_stretches_cover_each_query_once(length):
    for attention_mask in (AttentionMask(), AttentionMask(causal=False)):
        parts = list(attention_mask.stretches(length))
        assert [start for start, _, _ in parts] == [0, *(end for _, end, _ in parts[:-1])]
        assert parts[-1][1] == length
        assert all(keys == (end if attention_mask.causal else length) for _, end, keys in parts)
        assert max(end - start for start, end, _ in parts) <= attention.QUERIES


@each_mask
@pytest.mark.gpu
@pytest.mark.skipif(not GPU, reason="cuDNN needs a GPU")
@pytest.mark.parametrize("length", [200, 2048])
def test_cudnn_is_equal_to_xla(attention_mask, length):
    """Up to the rounding of bf16, whose steps are 2^-8 of a value; XLA's is judged by the same."""
    if attention_mask.segment is not None:
        repeated = jnp.repeat(SEGMENT, -(-length // 200), axis=1)[:, :length]
        attention_mask = AttentionMask(attention_mask.causal, repeated)
    arguments = drawn(length, heads=4, kv_heads=2, width=64, dtype=jnp.bfloat16)
    exact = [each.astype(jnp.float32) for each in arguments]
    with jax.default_matmul_precision("float32"):
        expected = with_gradients(lambda *a: attend(*a, attention_mask), exact)
    errors = {}
    for kernel in ("xla", "cudnn", "auto"):
        found = with_gradients(
            lambda *a, kernel=kernel: attend(*a, attention_mask, kernel), arguments
        )
        errors[kernel] = [
            np.abs(one - other).max() / np.abs(other).max()
            for one, other in zip(found, expected, strict=True)
        ]
    assert max(errors["cudnn"]) < 0.02, errors
    assert max(errors["xla"]) < 0.02, errors
    assert errors["auto"] == errors["cudnn"] != errors["xla"], "auto takes cuDNN"


def test_cudnn_says_what_it_cannot_do():
    if not GPU:
        with pytest.raises(ConfigError, match=r'trainer\.attention is "cudnn", which needs an NVI'):
            attend(*drawn(dtype=jnp.bfloat16), kernel="cudnn")
        return
    with pytest.raises(ConfigError, match=r"in 16 bits, not in float32: set trainer\.precision"):
        attend(*drawn(), kernel="cudnn")
    with pytest.raises(ConfigError, match=r"a multiple of 8 up to 128; this model's have 12"):
        attend(*drawn(width=12, dtype=jnp.bfloat16), kernel="cudnn")
    with pytest.raises(ConfigError, match=r"an even number of positions .*; there are 199"):
        odd = AttentionMask(causal=False, segment=SEGMENT[:, 1:])
        attend(*drawn(length=199, dtype=jnp.bfloat16), attention_mask=odd, kernel="cudnn")


@pytest.mark.parametrize("segment", [None, SEGMENT[:, 1:]])
def test_an_odd_number_of_positions_is_made_even_for_cudnn(segment, monkeypatch):
    """Which refuses to train an odd number; JAX's formula stands for it here."""
    plain = jax.nn.dot_product_attention

    def even(query, key, value, *, implementation, **options):
        assert implementation == "cudnn"
        assert query.shape[1] % 2 == key.shape[1] % 2 == value.shape[1] % 2 == 0
        return plain(query, key, value, implementation="xla", **options)

    monkeypatch.setattr(jax.nn, "dot_product_attention", even)
    odd, arguments = AttentionMask(segment=segment), drawn(length=199)
    for found, expected in zip(
        with_gradients(lambda *a: attention.cudnn(*a, odd), arguments),
        with_gradients(lambda *a: attention.xla(*a, odd), arguments),
        strict=True,
    ):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_auto_computes_where_cudnn_cannot(dtype):
    arguments = drawn(width=12, dtype=dtype)
    found = attend(*arguments, kernel="auto")
    np.testing.assert_array_equal(found, attend(*arguments))
