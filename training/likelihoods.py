"""Distributions over images: log p(x) given a network's outputs, summed over pixels and channels, in nats.

Sums, never means: a mean over pixels would weigh the rest of a bound by their number. All compute in float32 at least.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jax.scipy.stats import norm

from training.losses import sigmoid_cross_entropy, softmax_cross_entropy

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


def categorical(logits: jax.Array, x: jax.Array) -> jax.Array:
    """log p of a value in [0, 1], which is quantised to as many levels as there are logits.

    Args:
      logits: [..., L].
      x: [..., 1].

    Returns: [...].
    """
    levels = logits.shape[-1]
    return -softmax_cross_entropy(logits, jnp.round(x[..., 0] * (levels - 1)).astype(jnp.int32))


def draw_categorical(key: jax.Array, logits: jax.Array, temperature) -> jax.Array:
    """A value in [0, 1] as [1], given logits [L]."""
    return jax.random.categorical(key, logits / temperature)[None] / (len(logits) - 1)


def draw_bernoulli(key: jax.Array, logit: jax.Array, temperature) -> jax.Array:
    """0 or 1 as [1], given its logit [1]."""
    return jax.random.bernoulli(key, jax.nn.sigmoid(logit / temperature)).astype(logit.dtype)


def mixture_of(output: jax.Array, channels: int) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """(logits [..., K], means, log-scales and coefficients [..., K, C]) of a pixel with C channels; output: [..., F].

    In the authors' order: K logits, then for each channel K means, K log-scales and, with three channels, K numbers
    whose tanh are the coefficients of red in the mean of green, of red and of green in that of blue.
    """
    count = 2 + (channels - 1) // 2  # numbers of a channel
    mixtures = output.shape[-1] // (1 + channels * count)
    logits, rest = output[..., :mixtures], output[..., mixtures:]
    rest = jnp.moveaxis(rest.reshape(*rest.shape[:-1], channels, count, mixtures), -1, -3)
    mean, log_scale, *coefficients = (rest[..., i] for i in range(count))
    log_scale = jnp.maximum(log_scale, SMALLEST_LOG_SCALE)
    return logits, mean, log_scale, jnp.tanh(coefficients[0]) if coefficients else jnp.zeros_like(mean)


def along_channels(mean: jax.Array, coefficients: jax.Array, x: jax.Array) -> jax.Array:
    """The means [..., C] given the values x [..., C] of the channels before. Salimans et al. 2017, section 2.2."""
    if mean.shape[-1] == 1:
        return mean
    red, green = x[..., 0], x[..., 1]
    to_green, to_blue = coefficients[..., 0] * red, coefficients[..., 1] * red + coefficients[..., 2] * green
    return mean + jnp.stack([jnp.zeros_like(to_green), to_green, to_blue], -1)


def logistic_mixture(output: jax.Array, x: jax.Array) -> jax.Array:
    """log P of an 8-bit pixel under a mixture of discretised logistics (Salimans et al. 2017, eq. 2 and 3).

    Args:
      output: [..., F], see `mixture_of`.
      x: [..., C] scaled to [-1, 1], C = 1 or 3.

    Returns: [...].
    """
    logits, mean, log_scale, coefficients = mixture_of(output, x.shape[-1])
    mean = along_channels(mean, coefficients, x[..., None, :])
    pixel = lambda parts: parts[..., None, None, :]  # an image of one pixel for each component
    each = discretised_logistic(pixel(jnp.concatenate([mean, log_scale], -1)), pixel(x[..., None, :]))
    return logsumexp(jax.nn.log_softmax(logits) + each, axis=-1)


def draw_logistic_mixture(channels: int, key: jax.Array, output: jax.Array, temperature) -> jax.Array:
    """A pixel [C] of 8-bit values scaled to [-1, 1], given output [F]; each scale is multiplied by the temperature."""
    logits, mean, log_scale, coefficients = mixture_of(output, channels)
    of_component, of_value = jax.random.split(key)
    chosen = jax.random.categorical(of_component, logits / temperature)
    mean, log_scale, coefficients = mean[chosen], log_scale[chosen], coefficients[chosen]
    noise = temperature * jnp.exp(log_scale) * jax.random.logistic(of_value, mean.shape, mean.dtype)
    x = jnp.zeros_like(mean)
    for channel in range(channels):
        value = along_channels(mean, coefficients, x)[channel] + noise[channel]
        x = x.at[channel].set(jnp.round(127.5 * (jnp.clip(value, -1, 1) + 1)) / 127.5 - 1)
    return x


@dataclasses.dataclass(frozen=True)
class PixelLikelihood:
    """The distribution of the value at a position of an image, given a network's numbers for that position.

    Attributes:
      log_prob: (output [..., F], x [..., c]) -> [...].
      draw: (c, key, output [F], temperature) -> x [c].
      fits: (F, c) -> whether F numbers make such a distribution.
      takes: the same in words.
      scale: the page's data.scale that x must have.
      joint: a position is a pixel with its c = C channels; False: each channel is a position of its own, c = 1.
    """

    log_prob: Callable
    draw: Callable
    fits: Callable[[int, int], bool]
    takes: str
    scale: str
    joint: bool = False


PIXEL_LIKELIHOODS = {
    "bernoulli": PixelLikelihood(
        lambda output, x: -sigmoid_cross_entropy(output, x)[..., 0],
        lambda channels, *given: draw_bernoulli(*given),
        lambda numbers, channels: numbers == 1,
        "one logit for each channel",
        "unit",
    ),
    "categorical": PixelLikelihood(
        categorical,
        lambda channels, *given: draw_categorical(*given),
        lambda numbers, channels: numbers > 1,
        "two logits or more for each channel",
        "unit",
    ),
    "logistic_mixture": PixelLikelihood(
        logistic_mixture,
        draw_logistic_mixture,
        lambda numbers, channels: channels in (1, 3) and numbers % (10 if channels == 3 else 3) == 0,
        "for each component of a pixel 3 numbers (grey) or 10 (RGB)",
        "symmetric",
        joint=True,
    ),
}
