"""Diffusion in discrete steps: how data turn into noise, and back.

A process (training/processes.py) has x_t = a x_0 + s ε. With a' and s' at an earlier time t', and r = a/a':

    q(x_t | x_0)       = N(a x_0, s² I)                                                Ho et al. 2020, eq. 4
    q(x_t | x_t')      = N(r x_t', β I),  β = s² − r² s'²
    q(x_t' | x_t, x_0) = N((a' β x_0 + r s'² x_t)/s², β̃ I),  β̃ = β s'²/s²              eq. 7
    v                  = a ε − s x_0                                                   Salimans & Ho 2022

DDPM's is a chain of steps that preserves variance, a = √ᾱ and s = √(1 − ᾱ), where ᾱ is the product of all 1 − β. A
network that predicts one of ε, x_0, v gives the others too; here x_0 is passed on, as `start`. The steps of a schedule
are counted from 0, the least noisy image; before it is the image itself, a' = 1 and s' = 0.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from training.likelihoods import discretised_gaussian
from training.processes import (
    IMAGES,
    Process,
    Range,
    rectified_flow,
    sub_variance_preserving,
    variance_exploding,
    variance_preserving,
)


class Move(NamedTuple):
    """One step of sampling, from x_t to the earlier x_t'; or arrays of many steps.

    Attributes:
      mean, noise: a and s at t.
      mean_before, noise_before: a' and s' at t'; 1 and 0 at the data themselves.
      variance: β, of x_t given x_t'.
    """

    mean: Any
    noise: Any
    mean_before: Any
    noise_before: Any
    variance: Any


@dataclasses.dataclass(frozen=True, eq=False)
class Schedule:
    """A process in discrete steps: all steps of training, or fewer of them for sampling.

    Attributes:
      time: [S] int, ascending: the steps of training.
      mean, noise: [S] float64, a and s.
      prior: the standard deviation of the noise that sampling starts with.
      range: what denoised values are clipped to; None for data without bounds (latents).
    """

    time: np.ndarray
    mean: np.ndarray
    noise: np.ndarray
    prior: float = 1.0
    range: Range = IMAGES

    @functools.cached_property
    def moves(self) -> Move:
        """The steps back [S] float64, each to the step before it."""
        mean, noise = np.append(1.0, self.mean[:-1]), np.append(0.0, self.noise[:-1])
        return Move(self.mean, self.noise, mean, noise, self.noise**2 - (self.mean / mean * noise) ** 2)

    @property
    def posterior_variance(self) -> np.ndarray:
        """β̃ [S]; 0 at the first step."""
        return self.moves.variance * (self.moves.noise_before / self.noise) ** 2

    def respaced(self, steps: int) -> "Schedule":
        """The steps ⌊i S/steps⌋, i = 0, 1, …, all along the schedule (Song et al. 2021, appendix D.2, "linear")."""
        kept = np.arange(steps) * len(self.time) // steps
        return dataclasses.replace(self, time=self.time[kept], mean=self.mean[kept], noise=self.noise[kept])

    def scales(self, index, dtype, ndim: int = 1) -> tuple[jax.Array, jax.Array]:
        """a and s at steps `index` [B] of the schedule, [B, 1, ...] with `ndim` axes."""
        return picked((self.mean, self.noise), index, dtype, ndim)

    def clip(self, start):
        """Denoised values within the range of the data."""
        return start if self.range is None else jnp.clip(start, *self.range)


def picked(values: Any, index, dtype, ndim: int = 1) -> Any:
    """The entries `index` [B] of each array [S] of a pytree, [B, 1, ...] with `ndim` axes."""
    return jax.tree.map(lambda x: jnp.asarray(x, dtype)[index].reshape(-1, *[1] * (ndim - 1)), values)


def in_steps(process: Process, steps: int) -> Schedule:
    """A process at the times (i + 1)/steps, i = 0, 1, …: step i of a network that is told the step."""
    with jax.enable_x64(True):  # β is a small difference
        times = jnp.arange(1, steps + 1, dtype=jnp.float64) / steps
        mean, noise = np.asarray(process.mean(times)), np.asarray(process.noise(times))
    return Schedule(np.arange(steps), mean, noise, process.prior, process.range)


def linear(steps: int) -> Schedule:
    """β from 1e-4 to 0.02 for 1000 steps (Ho et al. 2020, section 4); of fewer, each does as much more."""
    return _of_betas(np.minimum(np.linspace(1e-4, 0.02, steps) * (1000 / steps), 0.999))


def cosine(steps: int) -> Schedule:
    """ᾱ = cos²((t/T + s)/(1 + s) π/2), s = 0.008, and β at most 0.999 (Nichol & Dhariwal 2021, eq. 17)."""
    curve = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2
    return _of_betas(1 - np.maximum(curve[1:] / curve[:-1], 1e-3))


def _of_betas(beta: np.ndarray) -> Schedule:
    """The steps of a process that preserves variance, of their β [S]."""
    alpha_bar = np.cumprod(1 - beta)
    return Schedule(np.arange(len(beta)), np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar))


# name -> (number of steps -> Schedule).
SCHEDULES = {
    "linear": linear,
    "cosine": cosine,
    "variance_preserving": functools.partial(in_steps, variance_preserving()),
    "sub_variance_preserving": functools.partial(in_steps, sub_variance_preserving()),
    "variance_exploding": functools.partial(in_steps, variance_exploding()),
    "rectified_flow": functools.partial(in_steps, rectified_flow()),
}


def diffuse(start, noise, a, s):
    """x_t of x_0 and ε; a and s are the scales at t. Any shapes that broadcast."""
    return a * start + s * noise


def noise_of(x, start, a, s):
    """ε, which turned x_0 into x_t."""
    return (x - a * start) / s


# What a network may be trained to predict: (x_0, ε, a, s) -> target, and (output, x_t, a, s) -> x_0.
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
        lambda output, x, a, s: (a * x - s * output) / (a**2 + s**2),
    ),
}


def posterior_mean(start, x, move: Move):
    """The mean of q(x_t' | x_t, x_0)."""
    weighted = move.mean_before * move.variance * start + move.mean / move.mean_before * move.noise_before**2 * x
    return weighted / move.noise**2


def ancestral_step(x, start, noise, move: Move, variance: str = "large"):
    """x_t' ~ p(x_t' | x_t), of variance β ("large") or β̃ ("small"): Ho et al. 2020, algorithm 2.

    The last step, to the data, adds no noise.
    """
    small = move.variance * (move.noise_before / move.noise) ** 2
    large = jnp.where(move.noise_before > 0, move.variance, 0)
    return posterior_mean(start, x, move) + jnp.sqrt({"large": large, "small": small}[variance]) * noise


def ddim_step(x, start, noise, move: Move, eta: float = 0.0):
    """a' x_0 + √(s'² − σ²) ε + σ z, σ = η √β̃: Song et al. 2021, eqs. 12 and 16. η = 0 is deterministic.

    ε is computed from the given `start`, so that it stays consistent with a clipped x_0.
    """
    sigma = eta * jnp.sqrt(move.variance) * move.noise_before / move.noise
    direction = jnp.sqrt(move.noise_before**2 - sigma**2) * noise_of(x, start, move.mean, move.noise)
    return move.mean_before * start + direction + sigma * noise


def sample(denoise: Callable, step: Callable, schedule: Schedule, keys: jax.Array, shape: tuple[int, ...]):
    """Samples [B, *shape] from noise, in one scan over the schedule.

    Args:
      denoise: (x_t [B, ...], time [], a [], s []) -> x_0 [B, ...].
      step: (x_t, x_0, noise, Move) -> x_t'.
      keys: [B], one for each sample.
      shape: of one sample.
    """
    draw = lambda number: jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, number), shape))(keys)

    def body(x, now):
        time, move = now
        start = denoise(x, time, move.mean, move.noise)
        return step(x, start, draw(time + 1), move), None

    x = schedule.prior * draw(0)
    ascending = jnp.asarray(schedule.time), jax.tree.map(lambda v: jnp.asarray(v, x.dtype), schedule.moves)
    x, _ = jax.lax.scan(body, x, ascending, reverse=True)
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
    small = schedule.posterior_variance
    own = {"large": schedule.moves.variance, "small": small}[variance]
    logs = [np.log(np.append(small[1], values[1:])) for values in (small, own)]
    move, true, model = picked((schedule.moves, *logs), index, x.dtype, x.ndim)
    mean = posterior_mean(estimate, x, move)
    difference = posterior_mean(start, x, move) - mean
    divergence = 0.5 * (model - true + jnp.exp(true - model) - 1 + difference**2 * jnp.exp(-model))
    decoder = -discretised_gaussian(mean, model / 2, start)
    return jnp.where(move.noise_before > 0, divergence, decoder)


def prior_term(start, schedule: Schedule):
    """KL(q(x_T | x_0) ‖ N(0, prior² I)) in nats, elementwise."""
    mean, noise = float(schedule.mean[-1]) / schedule.prior, float(schedule.noise[-1]) / schedule.prior
    return 0.5 * (mean**2 * start**2 + noise**2 - 1) - math.log(noise)
