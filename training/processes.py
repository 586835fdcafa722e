"""Diffusion processes by their formulas, in continuous time.

A process is a linear stochastic differential equation, whose marginals are Gaussian around the data x_0:

    dx = f(t) x dt + g(t) dw,  t from 0 to 1         Song et al. 2021, "Score-based generative modeling through SDEs"
    x_t = a(t) x_0 + s(t) ε,   a' = f a,  (s²)' = 2 f s² + g²

Written backwards, with the score −ε/s of x_t,

    dx = (f x + g² ε/s) dt + g dw                     eq. 6
    dx = (f x + ½ g² ε/s) dt = (a' x_0 + s' ε) dt     eq. 13, the probability-flow ODE
"""

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

Range = tuple[float, float] | None
IMAGES = (-1.0, 1.0)
EARLIEST = 1e-5  # Song et al. 2021, appendix C


@dataclasses.dataclass(frozen=True)
class Process:
    """A diffusion process by its formulas, each a function of the time t in [0, 1], of any shape.

    Attributes:
      mean: a(t), the scale of x_0 in x_t.
      noise: s(t), the scale of ε in x_t.
      drift: f(t).
      diffusion: g(t).
      time: σ -> t, the inverse of the noise-to-signal ratio σ = s(t)/a(t).
      prior: the standard deviation of x_1 where sampling starts, close to s(1).
      range: what denoised values are clipped to; None for data without bounds (latents).
      told: t -> the number that a network is told; None: the step, counted from 0.
      law: u -> t: how training visits the times, by a uniform u in (0, 1); None: uniformly.
      first: the earliest time that training visits, above 0 where x_0 would have no noise and hence no score.
    """

    mean: Callable
    noise: Callable
    drift: Callable
    diffusion: Callable
    time: Callable
    prior: float = 1.0
    range: Range = IMAGES
    told: Callable | None = None
    law: Callable | None = None
    first: float = 0.0


def variance_preserving(beta_min: float = 0.1, beta_max: float = 20.0, range: Range = IMAGES) -> Process:
    """β(t) rises linearly, f = −½ β, g = √β: Song et al. 2021, eq. 11; the limit of DDPM's linear schedule."""
    beta, log_mean, time = _linear_beta(beta_min, beta_max)
    return Process(
        mean=lambda t: jnp.exp(log_mean(t)),
        noise=lambda t: jnp.sqrt(-jnp.expm1(2 * log_mean(t))),
        drift=lambda t: -beta(t) / 2,
        diffusion=lambda t: jnp.sqrt(beta(t)),
        time=lambda ratio: time(-0.5 * jnp.log1p(ratio**2)),
        first=EARLIEST,
        range=range,
    )


def sub_variance_preserving(beta_min: float = 0.1, beta_max: float = 20.0, range: Range = IMAGES) -> Process:
    """The same mean, and at every time less noise, s = 1 − a²: Song et al. 2021, eq. 12."""
    beta, log_mean, time = _linear_beta(beta_min, beta_max)
    return Process(
        mean=lambda t: jnp.exp(log_mean(t)),
        noise=lambda t: -jnp.expm1(2 * log_mean(t)),
        drift=lambda t: -beta(t) / 2,
        diffusion=lambda t: jnp.sqrt(-beta(t) * jnp.expm1(4 * log_mean(t))),
        time=lambda ratio: time(jnp.log(2 / (ratio + jnp.sqrt(ratio**2 + 4)))),
        first=EARLIEST,
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
        time=lambda ratio: jnp.log(ratio / smallest) / growth,
        prior=largest,
        range=range,
    )


def rectified_flow(logit_normal: bool = False, range: Range = IMAGES) -> Process:
    """Straight lines from data to noise, x_t = (1 − t) x_0 + t ε: Liu et al. 2023. f and g are for t < 1.

    `logit_normal`: training visits t = sigmoid(n), n ~ N(0, 1), the middle most (Esser et al. 2024, section 3.1).
    """
    return Process(
        mean=lambda t: 1 - t,
        noise=lambda t: t * 1.0,
        drift=lambda t: -1 / (1 - t),
        diffusion=lambda t: jnp.sqrt(2 * t / (1 - t)),
        time=lambda ratio: 1 / (1 + 1 / ratio),
        first=EARLIEST,
        range=range,
        law=(lambda u: jax.nn.sigmoid(norm.ppf(u))) if logit_normal else None,
    )


def edm(smallest: float = 0.002, largest: float = 80.0, rho: float = 7.0, range: Range = IMAGES) -> Process:
    """a = 1, and s^(1/ρ) grows linearly: Karras et al. 2022, eq. 5 and table 1.

    Training draws ln σ ~ N(−1.2, 1.2²), and a network is told c_noise = ¼ ln σ.
    """
    low, high = smallest ** (1 / rho), largest ** (1 / rho)
    root = lambda t: low + t * (high - low)
    noise = lambda t: root(t) ** rho
    time = lambda ratio: (ratio ** (1 / rho) - low) / (high - low)
    return Process(
        mean=jnp.ones_like,
        noise=noise,
        drift=jnp.zeros_like,
        diffusion=lambda t: jnp.sqrt(2 * rho * (high - low) * root(t) ** (2 * rho - 1)),
        time=time,
        prior=largest,
        range=range,
        told=lambda t: jnp.log(noise(t)) / 4,
        law=lambda u: time(jnp.exp(1.2 * norm.ppf(u) - 1.2)),
    )


def chain(alpha_bar: np.ndarray, range: Range = IMAGES) -> Process:
    """A chain of steps that preserves variance, of its ᾱ [S], at the times (i + 1)/S and in between.

    There ln σ is interpolated linearly.
    """
    steps = len(alpha_bar)
    times, ratios = np.arange(1, steps + 1) / steps, 0.5 * (np.log1p(-alpha_bar) - np.log(alpha_bar))
    ratio = lambda t: jnp.exp(jnp.interp(t, times, ratios))
    mean = lambda t: 1 / jnp.sqrt(1 + ratio(t) ** 2)
    slope = lambda t: jax.jvp(lambda t: jnp.log(mean(t)), (t,), (jnp.ones_like(t),))[1]
    return Process(
        mean=mean,
        noise=lambda t: ratio(t) * mean(t),
        drift=slope,
        diffusion=lambda t: jnp.sqrt(-2 * slope(t)),
        time=lambda ratio: jnp.interp(jnp.log(ratio), ratios, times),
        first=1 / steps,
        range=range,
    )


def _linear_beta(low, high):
    """β(t), log a(t) = −½ ∫β, and log a -> t."""
    log_mean = lambda t: -t * low / 2 - t**2 * (high - low) / 4
    time = lambda log_mean: -4 * log_mean / (low + jnp.sqrt(low**2 - 4 * (high - low) * log_mean))
    return lambda t: low + t * (high - low), log_mean, time
