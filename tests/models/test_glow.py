"""Glow: it is inverted exactly, and its log-determinant is that of the Jacobian."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.errors import ModelError
from models.generative.glow import Glow, squeeze, unsqueeze
from tests.models.parity import abstract, filled, quickly

SHAPE = (4, 8, 1)
MODEL = Glow(SHAPE, levels=2, steps=2, hidden=4, param_dtype=jnp.float64)


def test_the_inverse_and_the_log_determinant():
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.RandomState(0).normal(size=(3, *SHAPE)))
        variables = jax.tree.map(lambda leaf: 0.2 * leaf, filled(abstract(MODEL, x)))

        @quickly
        def compute(x):
            flat = lambda x: MODEL.apply(variables, x.reshape(1, *SHAPE), method="forward")[0][0]
            z, log_det = MODEL.apply(variables, x, method="forward")
            return (
                z,
                log_det,
                jax.vmap(jax.jacobian(flat))(x.reshape(3, -1)),
                MODEL.apply(variables, z, method="decode"),
            )

        z, log_det, jacobian, back = compute(x)
    np.testing.assert_allclose(back, x, atol=1e-10)
    _, expected = np.linalg.slogdet(jacobian)
    np.testing.assert_allclose(log_det, expected, rtol=1e-9)
    assert np.abs(expected).min() > 0.5 and np.ptp(expected) > 0.1  # it depends on the image
    assert z.shape == (3, MODEL.latent)


def test_every_value_of_the_noise_depends_on_the_image():
    x = jnp.asarray(np.random.RandomState(0).normal(size=(1, *SHAPE)), jnp.float32)
    model = MODEL.clone(param_dtype=jnp.float32)
    variables = jax.tree.map(lambda leaf: 0.2 * leaf, filled(abstract(model, x)))
    jacobian = quickly(jax.jacobian(partial(model.apply, variables)))(x).reshape(model.latent, -1)
    assert np.linalg.matrix_rank(jacobian) == model.latent


def test_squeezing_loses_nothing_and_keeps_neighbours_together():
    x = jnp.arange(2 * 4 * 6 * 3.0).reshape(2, 4, 6, 3)
    np.testing.assert_array_equal(unsqueeze(squeeze(x)), x)
    np.testing.assert_array_equal(np.sort(squeeze(x)[0, 0, 0]), np.sort(x[0, :2, :2].ravel()))


def test_sides_that_cannot_be_halved_are_one_clear_line():
    with pytest.raises(ModelError, match="6×8 cannot be halved 2 times"):
        abstract(Glow((6, 8, 1), levels=2), jnp.zeros((1, 6, 8, 1)))
