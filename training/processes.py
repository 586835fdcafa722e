"""Diffusion processes by their formulas, in continuous time.

A process is a linear stochastic differential equation, whose marginals are Gaussian around the data x_0:

    dx = f(t) x dt + g(t) dw,  t from 0 to 1         Song et al. 2021, "Score-based generative modeling through SDEs"
    x_t = a(t) x_0 + s(t) ε,   a' = f a,  (s²)' = 2 f s² + g²
"""

import dataclasses
import math
from collections.abc import Callable

import jax.numpy as jnp

Range = tuple[float, float] | None
IMAGES = (-1.0, 1.0)


@dataclasses.dataclass(frozen=True)
class Process:
    """A diffusion process by its formulas, each a function of the time t in [0, 1], of any shape.

    Attributes:
      mean: a(t), the scale of x_0 in x_t.
      noise: s(t), the scale of ε in x_t.
      drift: f(t).
      diffusion: g(t).
      prior: the standard deviation of x_1 where sampling starts, close to s(1).
      range: what denoised values are clipped to; None for data without bounds (latents).
    """

    mean: Callable
    noise: Callable
    drift: Callable
    diffusion: Callable
    prior: float = 1.0
    range: Range = IMAGES


def variance_preserving(beta_min: float = 0.1, beta_max: float = 20.0, range: Range = IMAGES) -> Process:
    """β(t) rises linearly, f = −½ β, g = √β: Song et al. 2021, eq. 11; the limit of DDPM's linear schedule."""
    beta, log_mean = _linear_beta(beta_min, beta_max)
    return Process(
        mean=lambda t: jnp.exp(log_mean(t)),
        noise=lambda t: jnp.sqrt(-jnp.expm1(2 * log_mean(t))),
        drift=lambda t: -beta(t) / 2,
        diffusion=lambda t: jnp.sqrt(beta(t)),
        range=range,
    )


def sub_variance_preserving(beta_min: float = 0.1, beta_max: float = 20.0, range: Range = IMAGES) -> Process:
    """The same mean, and at every time less noise, s = 1 − a²: Song et al. 2021, eq. 12."""
    beta, log_mean = _linear_beta(beta_min, beta_max)
    return Process(
        mean=lambda t: jnp.exp(log_mean(t)),
        noise=lambda t: -jnp.expm1(2 * log_mean(t)),
        drift=lambda t: -beta(t) / 2,
        diffusion=lambda t: jnp.sqrt(-beta(t) * jnp.expm1(4 * log_mean(t))),
        range=range,
    )


def variance_exploding(smallest: float = 0.01, largest: float = 50.0, range: Range = IMAGES) -> Process:
    """a = 1 and s a geometric sequence from `smallest` to `largest`: Song et al. 2021, eq. 9 (NCSN)."""
    growth = math.log(largest / smallest)
    noise = lambda t: smallest * jnp.exp(growth * t)
    return Process(
        mean=jnp.ones_like,
        noise=noise,
        drift=jnp.zeros_like,
        diffusion=lambda t: noise(t) * math.sqrt(2 * growth),
        prior=largest,
        range=range,
    )


def rectified_flow(range: Range = IMAGES) -> Process:
    """Straight lines from data to noise, x_t = (1 − t) x_0 + t ε: Liu et al. 2023. f and g are for t < 1."""
    return Process(
        mean=lambda t: 1 - t,
        noise=lambda t: t,
        drift=lambda t: -1 / (1 - t),
        diffusion=lambda t: jnp.sqrt(2 * t / (1 - t)),
        range=range,
    )


def _linear_beta(low, high):
    """β(t), and log a(t) = −½ ∫β."""
    return lambda t: low + t * (high - low), lambda t: -t * low / 2 - t**2 * (high - low) / 4
