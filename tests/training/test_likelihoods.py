"""Likelihoods against scipy, in float64."""

import jax
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


@pytest.mark.parametrize("channels", [1, 3])
def test_a_mixture_of_logistics_sums_to_one_over_all_values_of_each_channel(channels):
    """A channel that is not last is summed with those after it, which is why they are summed over too."""
    components = 4
    numbers = jnp.asarray(RANDOM.normal(size=components * (10 if channels == 3 else 3)), jnp.float32)
    values = np.arange(256) / 127.5 - 1
    if channels == 1:
        x = values[:, None]
    else:
        first, second = RANDOM.choice(values, 2)
        x = np.stack([np.full(256, first), np.full(256, second), values], -1)
    p = np.exp(likelihoods.logistic_mixture(jnp.broadcast_to(numbers, (256, len(numbers))), jnp.asarray(x)))
    if channels == 1:
        np.testing.assert_allclose(p.sum(), 1, rtol=1e-4)
        return
    # P(red, green), a mixture too: the components' weights given red and green do not depend on blue.
    logits, mean, log_scale, coefficients = likelihoods.mixture_of(numbers, 3)
    mean = likelihoods.along_channels(mean, coefficients, jnp.asarray(x[0]))
    weights = scipy.special.softmax(np.asarray(logits, float))
    scale = np.maximum(np.exp(np.asarray(log_scale, float)), np.exp(-7))
    two = [mass(scipy.stats.logistic, np.asarray(mean, float)[:, c], scale[:, c], x[0, c]) for c in (0, 1)]
    np.testing.assert_allclose(p.sum(), (weights * two[0] * two[1]).sum(), rtol=1e-3)


def test_the_order_of_the_numbers_of_a_mixture_is_the_authors():
    """K logits, then [3, 3K]: means, log-scales and coefficients of red; of green; of blue."""
    numbers = jnp.arange(20.0) - 10
    logits, mean, log_scale, coefficients = likelihoods.mixture_of(numbers, 3)
    table = np.asarray(numbers[2:]).reshape(3, 6)
    np.testing.assert_array_equal(logits, numbers[:2])
    np.testing.assert_array_equal(mean, table[:, :2].T)
    np.testing.assert_array_equal(log_scale, np.maximum(table[:, 2:4].T, -7))
    np.testing.assert_allclose(coefficients, np.tanh(table[:, 4:].T), rtol=1e-6)


def test_pixels_are_drawn_by_their_probability():
    output = jnp.asarray([0.3, -0.5, 0.2, -0.8, -1.2, -2.0], jnp.float32)  # two components of a grey pixel
    keys = jax.random.split(jax.random.key(0), 4000)
    draw = jax.vmap(lambda key: likelihoods.draw_logistic_mixture(1, key, output, 1.0))
    drawn = np.asarray(draw(keys))[:, 0]
    np.testing.assert_allclose(drawn * 127.5, np.round(drawn * 127.5 - 0.5) + 0.5, atol=1e-3)  # 8-bit values
    values = np.arange(256) / 127.5 - 1
    p = np.exp(likelihoods.logistic_mixture(jnp.broadcast_to(output, (256, 6)), jnp.asarray(values[:, None])))
    found = np.searchsorted(np.sort(drawn), values + 1e-4) / 4000
    assert np.abs(found - np.cumsum(p)).max() < 0.03  # Kolmogorov's distance; it exceeds 0.026 once in 100
