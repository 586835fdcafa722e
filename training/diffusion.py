"""Diffusion: how an image turns into noise step by step, and back.

With ᾱ_t falling from almost 1 to almost 0, ᾱ' = ᾱ_{t−1}, α = ᾱ/ᾱ' and β = 1 − α, all images in [-1, 1]:

    q(x_t | x_0)          = N(√ᾱ x_0, (1 − ᾱ) I)                                       Ho et al. 2020, eq. 4
    q(x_{t−1} | x_t, x_0) = N(√ᾱ' β/(1 − ᾱ) x_0 + √α (1 − ᾱ')/(1 − ᾱ) x_t, β̃ I)        eq. 7
    β̃                     = β (1 − ᾱ')/(1 − ᾱ)
    v                     = √ᾱ ε − √(1 − ᾱ) x_0                                        Salimans & Ho 2022

A network that knows one of ε, x_0, v knows them all; here it is x_0 that is handed on, as `start`. The steps of a
schedule are counted from 0: ᾱ_0 is of the first, least noisy image. Before it stands the image itself, where ᾱ' = 1.
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from training.likelihoods import discretised_gaussian


@dataclasses.dataclass(frozen=True, eq=False)
class Schedule:
    """ᾱ of the steps in use: all those of training, or fewer of them for sampling.

    Attributes:
      time: [S] int, ascending: the steps of training.
      alpha_bar: [S] float64.
    """

    time: np.ndarray
    alpha_bar: np.ndarray

    @functools.cached_property
    def before(self) -> np.ndarray:
        """ᾱ' [S]."""
        return np.concatenate([[1.0], self.alpha_bar[:-1]])

    @functools.cached_property
    def beta(self) -> np.ndarray:
        return 1 - self.alpha_bar / self.before

    @functools.cached_property
    def posterior_variance(self) -> np.ndarray:
        """β̃ [S]; 0 in the first place."""
        return self.beta * (1 - self.before) / (1 - self.alpha_bar)

    def respaced(self, steps: int) -> "Schedule":
        """The steps ⌊i S/steps⌋, i = 0, 1, …, all along the schedule (Song et al. 2021, appendix D.2, "linear")."""
        kept = np.arange(steps) * len(self.time) // steps
        return Schedule(self.time[kept], self.alpha_bar[kept])


def linear(steps: int) -> Schedule:
    """β from 1e-4 to 0.02 for 1000 steps (Ho et al. 2020, section 4); of fewer, each does as much more."""
    beta = np.minimum(np.linspace(1e-4, 0.02, steps) * (1000 / steps), 0.999)
    return Schedule(np.arange(steps), np.cumprod(1 - beta))


def cosine(steps: int) -> Schedule:
    """ᾱ = cos²((t/T + s)/(1 + s) π/2), s = 0.008, and β at most 0.999 (Nichol & Dhariwal 2021, eq. 17)."""
    curve = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2
    return Schedule(np.arange(steps), np.cumprod(np.maximum(curve[1:] / curve[:-1], 1e-3)))


SCHEDULES = {"linear": linear, "cosine": cosine}


def diffuse(start, noise, alpha_bar):
    """x_t of x_0 and ε, any shapes that broadcast."""
    return jnp.sqrt(alpha_bar) * start + jnp.sqrt(1 - alpha_bar) * noise


def noise_of(x, start, alpha_bar):
    """ε, which turned x_0 into x_t."""
    return (x - jnp.sqrt(alpha_bar) * start) / jnp.sqrt(1 - alpha_bar)


# What a network may be trained to put out: (x_0, ε, ᾱ) -> target, and (output, x_t, ᾱ) -> x_0.
TARGETS = {
    "noise": (
        lambda start, noise, a: noise,
        lambda output, x, a: (x - jnp.sqrt(1 - a) * output) / jnp.sqrt(a),
    ),
    "image": (
        lambda start, noise, a: start,
        lambda output, x, a: output,
    ),
    "velocity": (
        lambda start, noise, a: jnp.sqrt(a) * noise - jnp.sqrt(1 - a) * start,
        lambda output, x, a: jnp.sqrt(a) * x - jnp.sqrt(1 - a) * output,
    ),
}


def posterior_mean(start, x, alpha_bar, before):
    """The mean of q(x_{t−1} | x_t, x_0)."""
    alpha = alpha_bar / before
    return (jnp.sqrt(before) * (1 - alpha) * start + jnp.sqrt(alpha) * (1 - before) * x) / (1 - alpha_bar)


def ancestral_step(x, start, noise, alpha_bar, before, variance: str = "large"):
    """x_{t−1} ~ p(x_{t−1} | x_t), of variance β ("large") or β̃ ("small"): Ho et al. 2020, algorithm 2.

    The last step, before which ᾱ' = 1, adds no noise.
    """
    small = (1 - alpha_bar / before) * (1 - before) / (1 - alpha_bar)
    large = jnp.where(before < 1, 1 - alpha_bar / before, 0)
    scale = jnp.sqrt({"large": large, "small": small}[variance])
    return posterior_mean(start, x, alpha_bar, before) + scale * noise


def ddim_step(x, start, noise, alpha_bar, before, eta: float = 0.0):
    """√ᾱ' x_0 + √(1 − ᾱ' − σ²) ε + σ z, σ = η √β̃: Song et al. 2021, eqs. 12 and 16. η = 0 is deterministic.

    ε is that of the `start` given, so that a clipped x_0 is followed consistently.
    """
    sigma = eta * jnp.sqrt((1 - alpha_bar / before) * (1 - before) / (1 - alpha_bar))
    direction = jnp.sqrt(1 - before - sigma**2) * noise_of(x, start, alpha_bar)
    return jnp.sqrt(before) * start + direction + sigma * noise


def sample(denoise: Callable, step: Callable, schedule: Schedule, keys: jax.Array, shape: tuple[int, ...]):
    """Images from noise, in one scan over the schedule.

    Args:
      denoise: (x_t [B, ...], time [], ᾱ []) -> x_0 [B, ...].
      step: (x_t, x_0, noise, ᾱ, ᾱ') -> x_{t−1}.
      keys: [B], of each image.
      shape: of an image.
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
      estimate: what the network takes x_0 to be.
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
