"""Diffusion: how data turn into noise with time, and back.

A process is a linear stochastic differential equation, whose marginals are Gaussian around the data x_0:

    dx = f(t) x dt + g(t) dw,  t from 0 to 1         Song et al. 2021, "Score-based generative modeling through SDEs"
    x_t = a(t) x_0 + s(t) ε,   a' = f a,  (s²)' = 2 f s² + g²

DDPM's is a chain of steps that preserves variance, a = √ᾱ and s = √(1 − ᾱ). With ᾱ falling from almost 1 to almost 0,
ᾱ' = ᾱ_{t−1}, α = ᾱ/ᾱ' and β = 1 − α:

    q(x_t | x_0)          = N(√ᾱ x_0, (1 − ᾱ) I)                                       Ho et al. 2020, eq. 4
    q(x_{t−1} | x_t, x_0) = N(√ᾱ' β/(1 − ᾱ) x_0 + √α (1 − ᾱ')/(1 − ᾱ) x_t, β̃ I)        eq. 7
    β̃                     = β (1 − ᾱ')/(1 − ᾱ)
    v                     = √ᾱ ε − √(1 − ᾱ) x_0                                        Salimans & Ho 2022

A network that predicts one of ε, x_0, v gives the others too; here x_0 is passed on, as `start`. The steps of a
schedule are counted from 0: ᾱ_0 belongs to the least noisy image, and before it, at the image itself, ᾱ' = 1.
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from training.likelihoods import discretised_gaussian

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


@dataclasses.dataclass(frozen=True, eq=False)
class Schedule:
    """DDPM's process in discrete steps: all steps of training, or fewer of them for sampling.

    Attributes:
      time: [S] int, ascending: the steps of training.
      alpha_bar: [S] float64, ᾱ.
      range: what denoised values are clipped to; None for data without bounds (latents).
    """

    time: np.ndarray
    alpha_bar: np.ndarray
    range: Range = IMAGES

    @functools.cached_property
    def before(self) -> np.ndarray:
        """ᾱ' [S]."""
        return np.concatenate([[1.0], self.alpha_bar[:-1]])

    @functools.cached_property
    def beta(self) -> np.ndarray:
        return 1 - self.alpha_bar / self.before

    @functools.cached_property
    def posterior_variance(self) -> np.ndarray:
        """β̃ [S]; 0 at the first step."""
        return self.beta * (1 - self.before) / (1 - self.alpha_bar)

    def respaced(self, steps: int) -> "Schedule":
        """The steps ⌊i S/steps⌋, i = 0, 1, …, all along the schedule (Song et al. 2021, appendix D.2, "linear")."""
        kept = np.arange(steps) * len(self.time) // steps
        return dataclasses.replace(self, time=self.time[kept], alpha_bar=self.alpha_bar[kept])

    def scales(self, index, dtype, ndim: int = 1) -> tuple[jax.Array, jax.Array]:
        """a and s at steps `index` [B] of the schedule, [B, 1, ...] with `ndim` axes."""
        alpha_bar = jnp.asarray(self.alpha_bar, dtype)[index].reshape(-1, *[1] * (ndim - 1))
        return jnp.sqrt(alpha_bar), jnp.sqrt(1 - alpha_bar)

    def clip(self, start):
        """Denoised values within the range of the data."""
        return start if self.range is None else jnp.clip(start, *self.range)

    @property
    def process(self) -> Process:
        """The process in continuous time, log ᾱ being linear between steps; step i is the time (i + 1)/S."""
        count = len(self.time)
        knots, log = np.arange(count + 1) / count, np.log(np.concatenate([[1.0], self.alpha_bar]))
        log_alpha_bar = lambda t: jnp.interp(t, knots, log)

        def beta(t):
            return -count * jnp.asarray(np.diff(log))[jnp.clip(jnp.floor(t * count).astype(int), 0, count - 1)]

        return Process(
            mean=lambda t: jnp.exp(log_alpha_bar(t) / 2),
            noise=lambda t: jnp.sqrt(-jnp.expm1(log_alpha_bar(t))),
            drift=lambda t: -beta(t) / 2,
            diffusion=lambda t: jnp.sqrt(beta(t)),
            range=self.range,
        )


def linear(steps: int) -> Schedule:
    """β from 1e-4 to 0.02 for 1000 steps (Ho et al. 2020, section 4); of fewer, each does as much more."""
    beta = np.minimum(np.linspace(1e-4, 0.02, steps) * (1000 / steps), 0.999)
    return Schedule(np.arange(steps), np.cumprod(1 - beta))


def cosine(steps: int) -> Schedule:
    """ᾱ = cos²((t/T + s)/(1 + s) π/2), s = 0.008, and β at most 0.999 (Nichol & Dhariwal 2021, eq. 17)."""
    curve = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2
    return Schedule(np.arange(steps), np.cumprod(np.maximum(curve[1:] / curve[:-1], 1e-3)))


SCHEDULES = {"linear": linear, "cosine": cosine}


def diffuse(start, noise, a, s):
    """x_t of x_0 and ε; a and s are the scales at t. Any shapes that broadcast."""
    return a * start + s * noise


def noise_of(x, start, a, s):
    """ε, which turned x_0 into x_t."""
    return (x - a * start) / s


# What a network may be trained to predict: (x_0, ε, a, s) -> target, and (output, x_t, a, s) -> x_0.
# The velocity is for processes that preserve variance, a² + s² = 1.
TARGETS = {
    "noise": (
        lambda start, noise, a, s: noise,
        lambda output, x, a, s: (x - s * output) / a,
    ),
    "image": (
        lambda start, noise, a, s: start,
        lambda output, x, a, s: output,
    ),
    "velocity": (
        lambda start, noise, a, s: a * noise - s * start,
        lambda output, x, a, s: a * x - s * output,
    ),
}


def posterior_mean(start, x, alpha_bar, before):
    """The mean of q(x_{t−1} | x_t, x_0)."""
    alpha = alpha_bar / before
    return (jnp.sqrt(before) * (1 - alpha) * start + jnp.sqrt(alpha) * (1 - before) * x) / (1 - alpha_bar)


def ancestral_step(x, start, noise, alpha_bar, before, variance: str = "large"):
    """x_{t−1} ~ p(x_{t−1} | x_t), of variance β ("large") or β̃ ("small"): Ho et al. 2020, algorithm 2.

    The last step, to ᾱ' = 1, adds no noise.
    """
    small = (1 - alpha_bar / before) * (1 - before) / (1 - alpha_bar)
    large = jnp.where(before < 1, 1 - alpha_bar / before, 0)
    scale = jnp.sqrt({"large": large, "small": small}[variance])
    return posterior_mean(start, x, alpha_bar, before) + scale * noise


def ddim_step(x, start, noise, alpha_bar, before, eta: float = 0.0):
    """√ᾱ' x_0 + √(1 − ᾱ' − σ²) ε + σ z, σ = η √β̃: Song et al. 2021, eqs. 12 and 16. η = 0 is deterministic.

    ε is computed from the given `start`, so that it stays consistent with a clipped x_0.
    """
    sigma = eta * jnp.sqrt((1 - alpha_bar / before) * (1 - before) / (1 - alpha_bar))
    direction = jnp.sqrt(1 - before - sigma**2) * noise_of(x, start, jnp.sqrt(alpha_bar), jnp.sqrt(1 - alpha_bar))
    return jnp.sqrt(before) * start + direction + sigma * noise


def sample(denoise: Callable, step: Callable, schedule: Schedule, keys: jax.Array, shape: tuple[int, ...]):
    """Samples [B, *shape] from noise, in one scan over the schedule.

    Args:
      denoise: (x_t [B, ...], time [], ᾱ []) -> x_0 [B, ...].
      step: (x_t, x_0, noise, ᾱ, ᾱ') -> x_{t−1}.
      keys: [B], one for each sample.
      shape: of one sample.
    """
    draw = lambda number: jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, number), shape))(keys)

    def body(x, now):
        time, alpha_bar, before = now
        start = denoise(x, time, alpha_bar)
        return step(x, start, draw(time + 1), alpha_bar, before), None

    x = draw(0)
    ascending = schedule.time, schedule.alpha_bar.astype(x.dtype), schedule.before.astype(x.dtype)
    x, _ = jax.lax.scan(body, x, jax.tree.map(jnp.asarray, ascending), reverse=True)
    return x


def bound_term(start, estimate, x, index, schedule: Schedule, variance: str = "large"):
    """The term of the variational bound that belongs to a step, in nats, elementwise: Ho et al. 2020, eq. 5.

    KL(q(x_{t−1} | x_t, x_0) ‖ p(x_{t−1} | x_t)); of the first step, −log p(x_0 | x_1) with the discrete decoder.
    In that step both variances would be β_0 or 0, and are β̃ of the second instead, as in the authors' code.

    Args:
      start: x_0 [B, ...].
      estimate: the network's prediction of x_0.
      x: x_t.
      index: [B] int, the step in the schedule.
      variance: "large" or "small", of p.
    """
    first = schedule.posterior_variance[1:2]
    small = np.log(np.concatenate([first, schedule.posterior_variance[1:]]))
    large = np.log(np.concatenate([first, schedule.beta[1:]]))
    pick = lambda values: jnp.asarray(values, x.dtype)[index].reshape(-1, *[1] * (x.ndim - 1))
    alpha_bar, before, true, model = map(
        pick, (schedule.alpha_bar, schedule.before, small, {"large": large, "small": small}[variance])
    )
    mean = posterior_mean(estimate, x, alpha_bar, before)
    difference = posterior_mean(start, x, alpha_bar, before) - mean
    divergence = 0.5 * (model - true + jnp.exp(true - model) - 1 + difference**2 * jnp.exp(-model))
    decoder = -discretised_gaussian(mean, model / 2, start)
    return jnp.where(before < 1, divergence, decoder)


def prior_term(start, schedule: Schedule):
    """KL(q(x_T | x_0) ‖ N(0, I)) in nats, elementwise."""
    alpha_bar = float(schedule.alpha_bar[-1])
    return 0.5 * (alpha_bar * start**2 - alpha_bar - math.log1p(-alpha_bar))
