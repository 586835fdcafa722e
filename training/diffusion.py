"""Diffusion in steps: the noise levels of a process, what a network predicts there, and the variational bound.

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

from training.errors import TrainingError, check
from training.likelihoods import discretised_gaussian
from training.processes import (
    Process,
    chain,
    edm,
    rectified_flow,
    sub_variance_preserving,
    variance_exploding,
    variance_preserving,
)


class Level(NamedTuple):
    """A noise level, or arrays of many: the time t in [0, 1], the number that a network is told of it, a, and s."""

    t: Any
    told: Any
    mean: Any
    noise: Any


class Move(NamedTuple):
    """One step of sampling, from x_t to the earlier x_t'; or arrays of many steps.

    Attributes:
      t, told, mean, noise: the level at t.
      t_before, told_before, mean_before, noise_before: that at t'; 0, 0, 1 and 0 at the data themselves.
      variance: β, of x_t given x_t'.
      number: how many steps are left after this one.
    """

    t: Any
    told: Any
    mean: Any
    noise: Any
    t_before: Any
    told_before: Any
    mean_before: Any
    noise_before: Any
    variance: Any
    number: Any

    @property
    def level(self) -> Level:
        return Level(self.t, self.told, self.mean, self.noise)

    @property
    def before(self) -> Level:
        return Level(self.t_before, self.told_before, self.mean_before, self.noise_before)


SPACINGS = ("leading", "trailing", "linspace", "karras")


@dataclasses.dataclass(frozen=True, eq=False)
class Schedule:
    """A process in steps: all steps of training, or fewer of them for sampling.

    Attributes:
      process: whose times these are.
      training: the number of steps of training.
      t, told, mean, noise: [S] float64, ascending: the levels.
      discrete: training visits these levels alone, and not the times in between.
    """

    process: Process
    training: int
    t: np.ndarray
    told: np.ndarray
    mean: np.ndarray
    noise: np.ndarray
    discrete: bool = False

    @functools.cached_property
    def moves(self) -> Move:
        """The steps back [S] float64, each to the step before it."""
        before = [np.append(x, level[:-1]) for x, level in zip((0, 0, 1, 0), (self.t, *self.levels[1:]), strict=True)]
        _, _, mean, noise = before
        variance = self.noise**2 - (self.mean / mean * noise) ** 2
        return Move(*self.levels, *before, variance, np.arange(len(self.t)))

    @property
    def levels(self) -> Level:
        return Level(self.t, self.told, self.mean, self.noise)

    @property
    def posterior_variance(self) -> np.ndarray:
        """β̃ [S]; 0 at the first step."""
        return self.moves.variance * (self.moves.noise_before / self.noise) ** 2

    def respaced(self, steps: int, spacing: str = "leading") -> "Schedule":
        """Fewer steps, all along the schedule.

        Args:
          spacing: "leading": the steps ⌊i S/steps⌋, i = 0, 1, … (Song et al. 2021, appendix D.2, "linear"); "trailing":
            back from the last step by S/steps; "linspace": from the first to the last; "karras": levels between the
            steps of training, with equal distances of σ^(1/7), σ = s/a (Karras et al. 2022, eq. 5).
        """
        check(SPACINGS, "task.spacing", spacing)
        total = len(self.t)
        if spacing == "karras":
            return self._at_ratios(steps)
        kept = {
            "leading": np.arange(steps) * total // steps,
            "trailing": np.round(total - np.arange(steps)[::-1] * total / steps).astype(int) - 1,
            "linspace": np.linspace(0, total - 1, steps).round().astype(int) if steps > 1 else np.array([total - 1]),
        }[spacing]
        return dataclasses.replace(self, **{name: x[kept] for name, x in self.levels._asdict().items()})

    def _at_ratios(self, steps: int, rho: float = 7.0) -> "Schedule":
        with np.errstate(divide="ignore"):
            low, high = (self.noise[[0, -1]] / self.mean[[0, -1]]) ** (1 / rho)
        if not np.isfinite(high):
            raise TrainingError("task.spacing='karras' needs a schedule that ends with some of the image")
        roots = np.linspace(low, high, steps) if steps > 1 else np.array([high])
        with jax.enable_x64(True), jax.ensure_compile_time_eval():
            levels = self.at(self.process.time(jnp.asarray(roots**rho)))
        return dataclasses.replace(self, **{name: np.asarray(x) for name, x in levels._asdict().items()})

    def until(self, steps: int) -> "Schedule":
        """The first `steps` steps, with the least noise."""
        return dataclasses.replace(self, **{name: x[:steps] for name, x in self.levels._asdict().items()})

    def fine(self, steps: int) -> "Schedule":
        """`steps` levels for an ODE from the data, with most of them near the data: t = t_0 + (1 − t_0) u².

        A chain of discrete steps has its own levels only.
        """
        if self.discrete:
            return self.respaced(min(steps, len(self.t)), "linspace")
        first = self.process.first
        with jax.enable_x64(True), jax.ensure_compile_time_eval():
            levels = self.at(jnp.asarray(first + (1 - first) * np.linspace(0, 1, steps) ** 2))
        return dataclasses.replace(self, **{name: np.asarray(x) for name, x in levels._asdict().items()})

    def at(self, t) -> Level:
        """The level at any time t in [0, 1], an array of any shape."""
        told = self.process.told(t) if self.process.told else _place(self.process, t, self.training)
        return Level(t, told, self.process.mean(t), self.process.noise(t))

    def draw(self, keys: jax.Array, dtype=jnp.float32) -> tuple[jax.Array, Level]:
        """The steps [B] that training visits, one for each key [B], and their levels, [B] each.

        Where times between the steps are visited, the steps are the nearest ones.
        """
        if self.discrete:
            index = jax.vmap(lambda key: jax.random.randint(key, (), 0, len(self.t)))(keys)
            return index, picked(self.levels, index, dtype)
        uniform = jax.vmap(lambda key: jax.random.uniform(key, (), dtype))(keys)
        first = self.process.first
        t = self.process.law(uniform) if self.process.law else first + (1 - first) * uniform
        t = jnp.clip(t, first, 1)
        index = jnp.clip(jnp.round(_place(self.process, t, self.training)), 0, self.training - 1)
        return index.astype(jnp.int32), self.at(t)

    def scales(self, index, dtype, ndim: int = 1) -> tuple[jax.Array, jax.Array]:
        """a and s at steps `index` [B] of the schedule, [B, 1, ...] with `ndim` axes."""
        return picked((self.mean, self.noise), index, dtype, ndim)

    def clip(self, start):
        """Denoised values within the range of the data."""
        return start if self.process.range is None else jnp.clip(start, *self.process.range)

    @property
    def prior(self) -> float:
        """The standard deviation of the noise that sampling starts with."""
        return self.process.prior


def picked(values: Any, index, dtype, ndim: int = 1) -> Any:
    """The entries `index` [B] of each array [S] of a pytree, [B, 1, ...] with `ndim` axes."""
    return jax.tree.map(lambda x: jnp.asarray(x, dtype)[index].reshape(-1, *[1] * (ndim - 1)), values)


def _place(process: Process, t, steps: int):
    """The step of a time, counted from 0, between the steps too. The first is at t = 0 if there is noise, else 1/S."""
    return t * steps - 1 if process.first else t * (steps - 1)


def in_steps(process: Process, steps: int, discrete: bool = False) -> Schedule:
    """A process at `steps` equally distant times, up to t = 1."""
    with jax.enable_x64(True):  # β is a small difference
        place = jnp.arange(steps, dtype=jnp.float64)
        t = (place + 1) / steps if process.first else place / max(steps - 1, 1)
        told = process.told(t) if process.told else place
        return Schedule(process, steps, *map(np.asarray, (t, told, process.mean(t), process.noise(t))), discrete)


def linear(steps: int) -> Schedule:
    """β from 1e-4 to 0.02 for 1000 steps (Ho et al. 2020, section 4); of fewer, each does as much more."""
    return _of_betas(np.minimum(np.linspace(1e-4, 0.02, steps) * (1000 / steps), 0.999))


def scaled_linear(steps: int) -> Schedule:
    """√β from √0.00085 to √0.012 for 1000 steps (Rombach et al. 2022). It ends with some of the image, ᾱ = 0.0047."""
    return _of_betas(np.minimum(np.linspace(0.00085**0.5, 0.012**0.5, steps) ** 2 * (1000 / steps), 0.999))


def cosine(steps: int) -> Schedule:
    """ᾱ = cos²((t/T + s)/(1 + s) π/2), s = 0.008, and β at most 0.999 (Nichol & Dhariwal 2021, eq. 17)."""
    curve = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2
    return _of_betas(1 - np.maximum(curve[1:] / curve[:-1], 1e-3))


def _of_betas(beta: np.ndarray) -> Schedule:
    """The steps of a process that preserves variance, of their β [S]."""
    alpha_bar, steps = np.cumprod(1 - beta), len(beta)
    t, told = np.arange(1, steps + 1) / steps, np.arange(steps)
    return Schedule(chain(alpha_bar), steps, t, told, np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar), discrete=True)


# name -> (number of steps -> Schedule). "ncsn": Song & Ermon 2019, 10 steps; "ncsnv2": Song & Ermon 2020, 232.
SCHEDULES = {
    "linear": linear,
    "scaled_linear": scaled_linear,
    "cosine": cosine,
    "variance_preserving": functools.partial(in_steps, variance_preserving()),
    "sub_variance_preserving": functools.partial(in_steps, sub_variance_preserving()),
    "variance_exploding": functools.partial(in_steps, variance_exploding()),
    "ncsn": functools.partial(in_steps, variance_exploding(0.01, 1.0), discrete=True),
    "ncsnv2": functools.partial(in_steps, variance_exploding(0.01, 50.0), discrete=True),
    "edm": functools.partial(in_steps, edm()),
    "rectified_flow": functools.partial(in_steps, rectified_flow()),
    "rectified_flow_logit_normal": functools.partial(in_steps, rectified_flow(logit_normal=True)),
}


def diffuse(start, noise, a, s):
    """x_t of x_0 and ε; a and s are the scales at t. Any shapes that broadcast."""
    return a * start + s * noise


def scales_of(level: Level, x) -> tuple:
    """a and s of levels [B], [B, 1, ...] like x [B, ...]."""
    return tuple(v.reshape(-1, *[1] * (x.ndim - 1)) for v in (level.mean, level.noise))


def noised(keys: jax.Array, level: Level, start: jax.Array) -> tuple:
    """(x_t, ε) of examples x_0 [B, ...] at their levels [B], each with its own key of `keys` [B]."""
    noise = jax.vmap(lambda key: jax.random.normal(key, start.shape[1:], start.dtype))(keys)
    return diffuse(start, noise, *scales_of(level, start)), noise


def noise_of(x, start, a, s):
    """ε, which turned x_0 into x_t."""
    return (x - a * start) / s


class Target(NamedTuple):
    """What a network may be trained to predict.

    Attributes:
      of: (x_0, ε, a, s) -> target.
      start: (output, x_t, a, s) -> x_0.
      slope: (a, s) -> |∂target/∂x_0| at a fixed x_t: the squared error of the target is slope² that of x_0.
      read: (x_t, a, s) -> the input of the network.
    """

    of: Callable
    start: Callable
    slope: Callable
    read: Callable = lambda x, a, s: x


DATA_STD = 0.5  # σ_data of Karras et al. 2022, of images in [-1, 1]


def _preconditioning(a, s):
    """c_skip/a, c_out and c_in/a, with σ = s/a: Karras et al. 2022, table 1, for x_t = a (x_0 + σ ε)."""
    total = jnp.sqrt((a * DATA_STD) ** 2 + s**2)
    return a * DATA_STD**2 / total**2, s * DATA_STD / total, 1 / total


TARGETS = {
    "noise": Target(
        lambda start, noise, a, s: noise,
        lambda output, x, a, s: (x - s * output) / a,
        lambda a, s: a / s,
    ),
    "image": Target(
        lambda start, noise, a, s: start,
        lambda output, x, a, s: output,
        lambda a, s: jnp.ones_like(a),
    ),
    "velocity": Target(
        lambda start, noise, a, s: a * noise - s * start,
        lambda output, x, a, s: (a * x - s * output) / (a**2 + s**2),
        lambda a, s: (a**2 + s**2) / s,
    ),
    # dx_t/dt of straight lines, a + s = 1: Lipman et al. 2023; Liu et al. 2023.
    "flow": Target(
        lambda start, noise, a, s: noise - start,
        lambda output, x, a, s: (x - s * output) / (a + s),
        lambda a, s: (a + s) / s,
    ),
    # Karras et al. 2022, eqs. 7 and 8: inputs and targets of unit variance.
    "preconditioned": Target(
        lambda start, noise, a, s: (
            (start - _preconditioning(a, s)[0] * diffuse(start, noise, a, s)) / _preconditioning(a, s)[1]
        ),
        lambda output, x, a, s: _preconditioning(a, s)[0] * x + _preconditioning(a, s)[1] * output,
        lambda a, s: 1 / _preconditioning(a, s)[1],
        lambda x, a, s: x * _preconditioning(a, s)[2],
    ),
}

# The weight of an example's squared error: (a, s, slope of the target) -> [...]. "min_snr": that of x_0 weighs
# min(SNR, 5), SNR = a²/s² (Hang et al. 2023, eq. 9).
WEIGHTINGS = {
    "none": lambda a, s, slope: jnp.ones_like(a),
    "min_snr": lambda a, s, slope: jnp.minimum((a / s) ** 2, 5.0) / slope**2,
}


def posterior_mean(start, x, move: Move):
    """The mean of q(x_t' | x_t, x_0)."""
    weighted = move.mean_before * move.variance * start + move.mean / move.mean_before * move.noise_before**2 * x
    return weighted / move.noise**2


# What variance p(x_t' | x_t) may have: β, β̃, or between them, as the network predicts.
VARIANCES = ("large", "small", "learned")


def log_variances(schedule: Schedule) -> tuple[np.ndarray, np.ndarray]:
    """log β̃ and log β [S]. β̃ of the first step would be 0 and is that of the second, as in the authors' code."""
    small = schedule.posterior_variance
    with np.errstate(divide="ignore"):  # of a single step
        return np.log(np.append(small[min(1, len(small) - 1)], small[1:])), np.log(schedule.moves.variance)


def mixed(mixture, small, large):
    """v log β + (1 − v) log β̃ of the network's number 2v − 1: Nichol & Dhariwal 2021, eq. 15."""
    return small + (mixture + 1) / 2 * (large - small)


def bound_term(start, estimate, x, index, schedule: Schedule, variance: str = "large", mixture=None):
    """The term of the variational bound that belongs to a step, in nats, elementwise: Ho et al. 2020, eq. 5.

    KL(q(x_{t−1} | x_t, x_0) ‖ p(x_{t−1} | x_t)); of the first step, −log p(x_0 | x_1) with the discrete decoder.
    In that step both fixed variances would be β_0 or 0, and are β̃ of the second instead, as in the authors' code.

    Args:
      start: x_0 [B, ...].
      estimate: the network's prediction of x_0.
      x: x_t.
      index: [B] int, the step in the schedule.
      variance: of p, one of VARIANCES.
      mixture: [B, ...] in [-1, 1] where the variance is learned.
    """
    small, large = log_variances(schedule)
    if variance != "learned":
        large = {"large": np.append(small[0], large[1:]), "small": small}[variance]
    move, true, model = picked((schedule.moves, small, large), index, x.dtype, x.ndim)
    if variance == "learned":
        model = mixed(mixture, true, model)
    mean = posterior_mean(estimate, x, move)
    difference = posterior_mean(start, x, move) - mean
    divergence = 0.5 * (model - true + jnp.exp(true - model) - 1 + difference**2 * jnp.exp(-model))
    decoder = -discretised_gaussian(mean, model / 2, start)
    return jnp.where(move.noise_before > 0, divergence, decoder)


def prior_term(start, schedule: Schedule):
    """KL(q(x_T | x_0) ‖ N(0, prior² I)) in nats, elementwise."""
    mean, noise = float(schedule.mean[-1]) / schedule.prior, float(schedule.noise[-1]) / schedule.prior
    return 0.5 * (mean**2 * start**2 + noise**2 - 1) - math.log(noise)
