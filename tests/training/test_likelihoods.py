"""Likelihoods against scipy, in float64."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from training import likelihoods

RANDOM = np.random.default_rng(0)
SHAPE = (3, 4, 5, 2)
EIGHT_BIT = RANDOM.integers(0, 256, SHAPE) / 127.5 - 1
EIGHT_BIT[0, 0, :, 0], EIGHT_BIT[0, 1, :, 0] = -1, 1


def output(mean, log_scale):
    return jnp.asarray(np.concatenate([mean, log_scale], -1), jnp.float32)


def test_bernoulli_sums_over_pixels():
    logits, x = RANDOM.normal(size=(2, *SHAPE)), RANDOM.integers(0, 2, SHAPE)
    expected = scipy.stats.bernoulli.logpmf(x, scipy.special.expit(logits)).sum((-3, -2, -1))
    np.testing.assert_allclose(likelihoods.bernoulli(jnp.asarray(logits), x), expected, rtol=1e-5)


def test_gaussian():
    mean, log_scale, x = (RANDOM.normal(size=SHAPE) for _ in range(3))
    expected = scipy.stats.norm.logpdf(x, mean, np.exp(log_scale)).sum((1, 2, 3))
    np.testing.assert_allclose(likelihoods.gaussian(output(mean, log_scale), x), expected, rtol=1e-5)


def mass(distribution, mean, scale, x):
    upper = np.where(x > 0.999, np.inf, (x + 1 / 255 - mean) / scale)
    lower = np.where(x < -0.999, -np.inf, (x - 1 / 255 - mean) / scale)
    # In the upper tail the survival function keeps the digits that the distribution function loses.
    return np.where(
        lower > 0, distribution.sf(lower) - distribution.sf(upper), distribution.cdf(upper) - distribution.cdf(lower)
    )


@pytest.mark.parametrize("spread", [0.01, 0.5])
def test_discretised(spread):
    mean = EIGHT_BIT + RANDOM.normal(0, 2 * spread, SHAPE)
    log_scale = np.full(SHAPE, np.log(spread))
    expected = np.log(mass(scipy.stats.logistic, mean, spread, EIGHT_BIT))
    found = likelihoods.discretised_logistic(output(mean, log_scale), EIGHT_BIT.astype(np.float32))
    np.testing.assert_allclose(found, expected.sum((1, 2, 3)), rtol=1e-3)

    expected = np.log(mass(scipy.stats.norm, mean, spread, EIGHT_BIT))
    found = likelihoods.discretised_gaussian(*(jnp.asarray(a, jnp.float32) for a in (mean, log_scale, EIGHT_BIT)))
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-3)


def test_discretised_masses_sum_to_one():
    values = jnp.arange(256) / 127.5 - 1
    for mean, log_scale in ((0.3, -1.0), (-0.9, -3.0), (1.2, -5.0)):
        x = values.reshape(-1, 1, 1, 1)
        pair = jnp.broadcast_to(jnp.array([mean, log_scale]), (256, 1, 1, 2))
        np.testing.assert_allclose(jnp.exp(likelihoods.discretised_logistic(pair, x)).sum(), 1, rtol=1e-4)
        np.testing.assert_allclose(
            jnp.exp(likelihoods.discretised_gaussian(pair[..., :1], pair[..., 1:], x)).sum(), 1, rtol=1e-4
        )
