"""RMSProp with clipped parameters: torch's rule, then the box of algorithm 1 of Arjovsky et al. 2017."""

import jax
import jax.numpy as jnp
import numpy as np

from training.clipped import clipped_rmsprop


def test_parameters_move_as_rmsprop_and_stay_in_the_box():
    random = np.random.RandomState(0)
    x, average = random.uniform(-0.01, 0.01, 50), np.zeros(50)
    with jax.enable_x64(True):
        params = {"w": jnp.asarray(x)}
        optimizer = clipped_rmsprop(2e-3, decay=0.9, bound=0.01)
        state = optimizer.init(params)
        for _ in range(5):
            gradient = random.standard_normal(50)
            change, state = optimizer.update({"w": jnp.asarray(gradient)}, state, params)
            params = jax.tree.map(jnp.add, params, change)
            average = 0.9 * average + 0.1 * gradient**2
            x = np.clip(x - 2e-3 * gradient / (np.sqrt(average) + 1e-8), -0.01, 0.01)
        np.testing.assert_allclose(params["w"], x, rtol=1e-9, atol=1e-12)
    assert 5 < (np.abs(x) > 0.00999).sum() < 45  # some are at the border, others are not
