"""The likelihood by the probability-flow ODE equals the closed form where the data are Gaussian."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from training import diffusion as process
from training.flow_likelihood import bits_per_dim, log_likelihood

MEAN, STD = np.array([0.3, -0.2, 0.1]), np.array([0.5, 0.1, 0.3])


def exact(x, level):
    a, s = level.mean, level.noise
    return MEAN + a * STD**2 / (a**2 * STD**2 + s**2) * (x - a * MEAN)


@pytest.mark.parametrize(
    "name", ["variance_preserving", "sub_variance_preserving", "variance_exploding", "edm", "rectified_flow", "linear"]
)
def test_it_is_the_density_of_a_gaussian(name):
    with jax.enable_x64(True):
        random = np.random.default_rng(0)
        schedule = process.SCHEDULES[name](1000)
        (low, high), (little, much) = (schedule.fine(2).mean, schedule.fine(2).noise)
        width = lambda a, s: np.sqrt(a**2 * STD**2 + s**2)
        quantile = random.normal(size=(20, 3))
        density = lambda a, s: (scipy.stats.norm.logpdf(quantile) - np.log(width(a, s))).sum(1)
        x, last = low * MEAN + width(low, little) * quantile, high * MEAN + width(high, much) * quantile
        # The model's prior is not quite the law of the last x.
        prior = scipy.stats.norm.logpdf(last, 0, schedule.prior).sum(1)
        expected = density(low, little) - density(high, much) + prior
        probe = jnp.asarray(random.choice([-1.0, 1.0], size=x.shape))
        errors = []
        for steps in (100, 400):
            found = jax.jit(lambda x, steps=steps: log_likelihood(exact, schedule.fine(steps), x, probe))(
                jnp.asarray(x)
            )
            errors.append(np.abs(found - expected).max())
        assert errors[1] < min(errors[0] / 8, 0.01)
        assert np.abs(expected - density(low, little)).max() < 0.1


def test_bits_of_uniform_pixels():
    """Values of a wide Gaussian: −log₂ of the density times the width of a bin."""
    std = 0.4

    def denoise(x, level):
        a, s = level.mean, level.noise
        return a * std**2 / (a**2 * std**2 + s**2) * x

    values = np.clip(np.random.default_rng(0).normal(size=(50, 4, 4, 1)) * std, -1, 1)
    images = jnp.asarray(np.round((values + 1) * 127.5) / 127.5 - 1, jnp.float32)
    keys = jax.random.split(jax.random.key(0), 50)
    found = bits_per_dim(denoise, process.SCHEDULES["edm"](1000).fine(200), images, keys)
    density = scipy.stats.norm.logpdf(images, 0, std).mean((1, 2, 3))
    np.testing.assert_allclose(found, -(density + np.log(2 / 255)) / np.log(2), atol=0.02)
