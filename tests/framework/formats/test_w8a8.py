"""Layers that multiply integers by integers."""
# pyright: reportAttributeAccessIssue=false, reportOptionalSubscript=false

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from podway.framework.formats import layers, w8a8


def test_a_product_by_hand():
    kernel = w8a8.quantize(np.array([[127.0, 0.5], [-1, 63.5]], np.float32), np.float32(254))
    assert kernel.values.tolist() == [[127, 1], [-1, 127]]
    assert kernel.scale.tolist() == [[1, 0.5]]
    assert kernel.input_scale.tolist() == [[2]]
    # 9 is 4.5 steps of 2, which go to the even 4; 300 is beyond the range, whose end is 127 steps.
    x = np.array([[9.0, -2], [300, 0], [-1000, 0.9]], np.float32)
    steps = np.array([[4, -1], [127, 0], [-127, 0]])
    expected = steps @ np.array([[127, 1], [-1, 127]]) * [2, 1]
    np.testing.assert_array_equal(kernel.layer(x), expected)
    np.testing.assert_array_equal(kernel.layer(x[0]), expected[0])
    np.testing.assert_array_equal(kernel.layer(x[None]), expected[None])


def test_the_product_is_one_of_integers():
    kernel = w8a8.quantize(np.ones((4, 3), np.float32), np.float32(1))
    made = jax.make_jaxpr(kernel.layer)(np.ones((2, 4), np.float32))
    (product,) = [each for each in made.jaxpr.eqns if each.primitive.name == "dot_general"]
    assert [each.aval.dtype.name for each in product.invars] == ["int8", "int8"]
    assert product.outvars[0].aval.dtype.name == "int32"


def test_a_row_with_what_is_not_finite_has_no_number():
    kernel = w8a8.quantize(np.ones((2, 3), np.float32), np.float32(1))
    x = np.array([[1.0, np.nan], [np.inf, 0], [-np.inf, 1], [1, 1]], np.float32)
    found = np.asarray(kernel.layer(x))
    assert np.isnan(found[:3]).all()
    np.testing.assert_allclose(found[3], 2, rtol=0.01)


def test_inputs_that_were_all_zero_stay_so():
    kernel = w8a8.quantize(np.ones((2, 3), np.float32), np.float32(0))
    np.testing.assert_array_equal(kernel.layer(np.ones((1, 2), np.float32)), np.zeros((1, 3)))


def test_each_layer_of_a_stack_has_its_own_range():
    kernels = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    whole = w8a8.quantize(kernels, np.array([1, 100], np.float32))
    x = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    for number, reach in enumerate((1.0, 100.0)):
        one = jax.tree.map(lambda each, n=number: each[n], whole)
        alone = w8a8.quantize(kernels[number], np.float32(reach))
        np.testing.assert_array_equal(one.layer(x), alone.layer(x))


class Both(nnx.Module):
    """A dense layer, one with a product of its own, and a kernel that is no dense layer's."""

    def __init__(self, rngs: nnx.Rngs):
        self.dense = nnx.Linear(3, 4, rngs=rngs)
        own = lambda *given, **options: 2 * jax.lax.dot_general(*given, **options)  # noqa: E731
        self.doubled = nnx.Linear(4, 4, use_bias=False, dot_general=own, rngs=rngs)
        self.kernel = nnx.Param(jnp.ones((4, 2)))

    def __call__(self, x):
        return self.doubled(self.dense(x)) @ self.kernel[...]


def test_dense_layers_alone_compute_with_integers():
    module = Both(nnx.Rngs(0))
    x, before = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32), {}
    for name, owner in (("dense", module.dense), ("doubled", module.doubled), ("", module)):
        before[name] = np.asarray(owner.kernel.get_value())
        owner.kernel.set_value(w8a8.quantize(before[name], np.float32(4)))
    dense, bias = module.dense.kernel.get_value(), module.dense.bias[...]
    wide = {name: np.asarray(w8a8.quantize(each, 4).dense()) for name, each in before.items()}
    graph, state = nnx.split(module)
    answer = lambda x: layers.attach(nnx.merge(graph, state))(x)  # noqa: E731
    assert str(jax.make_jaxpr(answer)(x)).count("preferred_element_type=int32") == 1
    expected = 2 * (dense.layer(x) + bias) @ wide["doubled"] @ wide[""]
    np.testing.assert_allclose(answer(x), expected, rtol=1e-5, atol=1e-5)
