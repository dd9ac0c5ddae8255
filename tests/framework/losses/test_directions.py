import jax
import jax.numpy as jnp
import numpy as np

from podway.framework.losses.directions import direction_loss


def test_by_hand():
    # The angles are 0°, 90° and 180°: 2 − 2·cos is 0, 2 and 4, whatever the lengths.
    states = jnp.array([[[3.0, 0.0], [0.0, 0.5], [-2.0, 0.0], [1.0, 1.0]]])
    taught = jnp.array([[[1.0, 0.0], [7.0, 0.0], [1.0, 0.0], [jnp.nan, 0.0]]])
    weights = jnp.array([[1.0, 2.0, 1.0, 0.0]])
    np.testing.assert_allclose(direction_loss(states, taught, weights), (0 + 2 * 2 + 4) / 4)
    # At (0, ½) and a taught (1, 0), d(2 − 2·x/‖s‖)/dx = −2/‖s‖ = −4, of weight 2/4.
    gradient = jax.grad(direction_loss)(states, taught, weights)
    np.testing.assert_allclose(gradient[0], [[0, 0], [-2, 0], [0, 0], [0, 0]], atol=1e-6)


def test_what_has_no_direction_has_a_finite_gradient():
    states, taught = jnp.zeros((1, 1, 3)), jnp.ones((1, 1, 3))
    value, gradient = jax.value_and_grad(direction_loss)(states, taught, jnp.ones((1, 1), bool))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
