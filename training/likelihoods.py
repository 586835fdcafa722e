"""Distributions over images: log p(x) given a network's outputs, summed over pixels and channels, in nats.

Sums, never means: a mean over pixels would weigh the rest of a bound by their number. All compute in float32 at least.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.stats import norm

from training.losses import sigmoid_cross_entropy

HALF_BIN = 1 / 255  # of 8 bits over [-1, 1]
SMALLEST_LOG_SCALE = -7.0  # a learned scale goes no lower: log p of a constant pixel has no bound (as in PixelCNN++)


def total(values: jax.Array) -> jax.Array:
    """Sum over an image: [..., H, W, C] -> [...]."""
    return values.sum((-3, -2, -1))


def bernoulli(logits: jax.Array, x: jax.Array) -> jax.Array:
    """Σ x log p + (1 − x) log(1 − p), p = sigmoid(logits): a density only for x in {0, 1}.

    Args:
      logits: [..., B, H, W, C].
      x: [B, H, W, C] in [0, 1].

    Returns: [..., B].
    """
    return -total(sigmoid_cross_entropy(logits, x))


def location_scale(output: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and logarithm of the scale, [..., H, W, C] each, of output [..., H, W, 2C]."""
    mean, log_scale = jnp.split(output, 2, axis=-1)
    return mean, jnp.maximum(log_scale, SMALLEST_LOG_SCALE)


def gaussian(output: jax.Array, x: jax.Array) -> jax.Array:
    """Σ log N(x; μ, σ²): a density, so it may exceed zero. Output [..., B, H, W, 2C], x [B, H, W, C] -> [..., B]."""
    mean, log_scale = location_scale(output)
    return total(norm.logpdf((x - mean) * jnp.exp(-log_scale)) - log_scale)


def discretised_logistic(output: jax.Array, x: jax.Array) -> jax.Array:
    """Σ log P(x), the mass of a logistic distribution in the bin of each 8-bit value (Salimans et al. 2017, eq. 2).

    With a and b the bin's ends, standardised: σ(a) − σ(b) = σ(a) σ(−b) (1 − exp(b − a)). The outermost bins reach to
    infinity.

    Args:
      output: [..., B, H, W, 2C], location and log-scale.
      x: [B, H, W, C], 8-bit values scaled to [-1, 1].
    """
    mean, log_scale = location_scale(output)
    inverse = jnp.exp(-log_scale)
    upper, lower = (x - mean + HALF_BIN) * inverse, (x - mean - HALF_BIN) * inverse
    below, above = jax.nn.log_sigmoid(upper), jax.nn.log_sigmoid(-lower)
    inside = below + above + jnp.log(-jnp.expm1(-2 * HALF_BIN * inverse))
    return total(jnp.where(x < -0.999, below, jnp.where(x > 0.999, above, inside)))


def discretised_gaussian(mean: jax.Array, log_scale: jax.Array, x: jax.Array) -> jax.Array:
    """log P(x) of each 8-bit value, elementwise: the decoder of Ho et al. 2020, eq. 13. x: scaled to [-1, 1].

    The distribution is reflected to where its tail is a small number, and subtracted as logarithms: nothing is lost.
    """
    standard = lambda distance: norm.logcdf(distance * jnp.exp(-log_scale))
    away = jnp.abs(x - mean)
    near, far = standard(HALF_BIN - away), standard(-HALF_BIN - away)
    inside = near + jnp.log1p(-jnp.exp(far - near))
    below, above = standard(x - mean + HALF_BIN), standard(mean - x + HALF_BIN)
    return jnp.where(x < -0.999, below, jnp.where(x > 0.999, above, inside))


@dataclasses.dataclass(frozen=True)
class Likelihood:
    """p(x | output): what it takes of a network and of the data.

    Attributes:
      log_prob: (output [..., B, H, W, outputs·C], x [B, H, W, C]) -> [..., B].
      mean: output -> the image to show, [..., H, W, C].
      outputs: numbers for each pixel and channel.
      scales: the page's data.scale that x must have.
    """

    log_prob: Callable
    mean: Callable
    outputs: int
    scales: tuple[str, ...]


LIKELIHOODS = {
    "bernoulli": Likelihood(bernoulli, jax.nn.sigmoid, 1, ("unit",)),
    "gaussian": Likelihood(gaussian, lambda output: location_scale(output)[0], 2, ("unit", "symmetric", "standardise")),
    "discretised_logistic": Likelihood(
        discretised_logistic, lambda output: location_scale(output)[0], 2, ("symmetric",)
    ),
}
