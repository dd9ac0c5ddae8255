import jax
import jax.numpy as jnp

from podway.framework.training import flops


def count(function, *shapes):
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return flops.count(jax.jit(function).trace(*arguments).jaxpr.jaxpr)


def test_products_scans_and_branches():
    assert count(lambda a, b: a @ b, (3, 4), (4, 5)) == 2 * 3 * 4 * 5
    assert count(lambda a, b: jnp.einsum("bij,bjk->bik", a, b), (7, 3, 4), (7, 4, 5)) == 7 * 120

    def scanned(x, w):
        return jax.lax.scan(lambda carry, _: (jnp.tanh(carry @ w), None), x, None, length=6)[0]

    assert count(scanned, (3, 4), (4, 4)) == 6 * 2 * 3 * 4 * 4
    # Backward: one product for the gradient of each factor.
    assert count(jax.grad(lambda x, w: scanned(x, w).sum(), (0, 1)), (3, 4), (4, 4)) == 3 * 576

    def branched(x, w):
        return jax.lax.cond(x[0, 0] > 0, lambda: x @ w @ w, lambda: x @ w)

    assert count(branched, (3, 4), (4, 4)) == 2 * 2 * 3 * 4 * 4
