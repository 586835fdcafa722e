"""Samplers: how a network that denoises at every level turns noise into data, each one scan over a schedule.

Levels are (a, s), x_t = a x_0 + s ε, and σ = s/a. The network's x_0, `start`, gives ε = (x_t − a x_0)/s. Along the
probability-flow ODE (Song et al. 2021, eq. 13)

    dx = x_0 da + ε ds

where both are functions of x_t. Its Euler step is DDIM's, exact for any a and s if x_0 does not change on the way. For
a = 1, Euler's and Heun's steps are those of Karras et al. 2022.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from training.diffusion import Level, Move, Schedule, log_variances, mixed, noise_of, posterior_mean


class Context(NamedTuple):
    """What a step may ask for.

    Attributes:
      denoise: (x_t [B, ...], Level of scalars) -> x_0 [B, ...].
      draw: part -> standard normal noise like x, another for each part 0, 1, … of the step.
      schedule: the steps of sampling.
      learned: (x_t, Level) -> (x_0, mixture of the variance in [-1, 1]), where the network gives it.
    """

    denoise: Callable
    draw: Callable
    schedule: Schedule
    learned: Callable | None = None


@dataclasses.dataclass(frozen=True)
class Sampler:
    """One step of sampling, and what it remembers of those before.

    Attributes:
      step: (Context, x_t, memory, Move) -> (x_t', memory).
      memory: x at the start -> a pytree.
    """

    step: Callable
    memory: Callable = lambda x: ()


def sample(
    denoise: Callable,
    sampler: Sampler,
    schedule: Schedule,
    keys: jax.Array,
    shape: tuple[int, ...],
    *,
    initial=None,
    learned: Callable | None = None,
):
    """Samples [B, *shape], in one scan over the schedule.

    Args:
      keys: [B], one for each sample, whose noise does not depend on the others.
      shape: of one sample.
      initial: x_t [B, *shape] at the last step of the schedule; None: noise of the prior.
      denoise, learned: of Context.
    """
    fold = jax.vmap(jax.random.fold_in, (0, None))

    def draw(number, part=0):
        own = fold(keys, number)
        if not (isinstance(part, int) and part == 0):  # part 0 has the key of the step itself
            own = fold(own, part)
        return jax.vmap(lambda key: jax.random.normal(key, shape))(own)

    def body(carry, move):
        x, memory = carry
        context = Context(denoise, partial(draw, move.number + 1), schedule, learned)
        return sampler.step(context, x, memory, move), None

    x = schedule.prior * draw(0) if initial is None else initial
    moves = jax.tree.map(lambda v: jnp.asarray(v, x.dtype), schedule.moves)
    moves = moves._replace(number=jnp.asarray(schedule.moves.number, jnp.int32))
    (x, _), _ = jax.lax.scan(body, (x, sampler.memory(x)), moves, reverse=True)
    return x


def markov(step: Callable) -> Sampler:
    """The sampler of a step (x_t, x_0, noise, Move) -> x_t'."""

    def whole(context, x, memory, move):
        return step(x, context.denoise(x, move.level), context.draw(), move), memory

    return Sampler(whole)


def ancestral_step(x, start, noise, move: Move, variance: str = "large"):
    """x_t' ~ p(x_t' | x_t), of variance β ("large") or β̃ ("small"): Ho et al. 2020, algorithm 2.

    The last step, to the data, adds no noise.
    """
    small = move.variance * (move.noise_before / move.noise) ** 2
    large = jnp.where(move.noise_before > 0, move.variance, 0)
    return posterior_mean(start, x, move) + jnp.sqrt({"large": large, "small": small}[variance]) * noise


def learned_ancestral() -> Sampler:
    """x_t' ~ p(x_t' | x_t), of the network's variance: Nichol & Dhariwal 2021, eq. 15."""

    def step(context, x, memory, move):
        start, mixture = context.learned(x, move.level)
        small, large = (jnp.asarray(v, x.dtype)[move.number] for v in log_variances(context.schedule))
        std = jnp.where(move.noise_before > 0, jnp.exp(mixed(mixture, small, large) / 2), 0)
        return posterior_mean(start, x, move) + std * context.draw(), memory

    return Sampler(step)


def ddim_step(x, start, noise, move: Move, eta: float = 0.0):
    """a' x_0 + √(s'² − σ²) ε + σ z, σ = η √β̃: Song et al. 2021, eqs. 12 and 16. η = 0 is deterministic.

    ε is computed from the given `start`, so that it stays consistent with a clipped x_0.
    """
    sigma = eta * jnp.sqrt(move.variance) * move.noise_before / move.noise
    direction = jnp.sqrt(move.noise_before**2 - sigma**2) * noise_of(x, start, move.mean, move.noise)
    return move.mean_before * start + direction + sigma * noise


def reverse_sde_step(x, start, noise, move: Move, schedule: Schedule):
    """Euler and Maruyama's step of the reverse SDE, x − (f x + g² ε/s) Δt + g √Δt z: Song et al. 2021, eq. 6.

    The last step, to the data, is to x_0.
    """
    process, span = schedule.process, move.t - move.t_before
    score = -noise_of(x, start, move.mean, move.noise) / move.noise
    square = process.diffusion(move.t) ** 2
    moved = x - (process.drift(move.t) * x - square * score) * span + jnp.sqrt(square * span) * noise
    return jnp.where(move.noise_before > 0, moved, start)


def reverse_sde() -> Sampler:
    def step(context, x, memory, move):
        start = context.denoise(x, move.level)
        return reverse_sde_step(x, start, context.draw(), move, context.schedule), memory

    return Sampler(step)


def heun(correct: bool = True, churn: float = 0.0) -> Sampler:
    """Heun's second-order step of the ODE, or Euler's if it is not corrected: Karras et al. 2022, algorithm 2.

    Before each of N steps, "churn" adds noise until σ is (1 + γ) σ, γ = min(churn/N, √2 − 1). The last step is Euler's,
    to x_0. A step but the last evaluates the network twice.
    """

    def step(context, x, memory, move):
        level = move.level
        if churn:
            x, level = _churned(context, x, level, churn)
        start = context.denoise(x, level)
        noise = noise_of(x, start, level.mean, level.noise)
        along = lambda start, noise: (
            x + (move.mean_before - level.mean) * start + (move.noise_before - level.noise) * noise
        )

        def corrected():
            ahead = along(start, noise)
            start2 = context.denoise(ahead, move.before)
            noise2 = noise_of(ahead, start2, move.mean_before, move.noise_before)
            return along((start + start2) / 2, (noise + noise2) / 2)

        if not correct:
            return along(start, noise), memory
        return jax.lax.cond(move.noise_before > 0, corrected, lambda: along(start, noise)), memory

    return Sampler(step)


def _churned(context, x, level: Level, churn: float):
    """x at a higher level. Where there is nothing but noise, it is as it was."""
    schedule = context.schedule
    gamma = min(churn / len(schedule.t), math.sqrt(2) - 1)
    higher = schedule.at(schedule.process.time((1 + gamma) * level.noise / jnp.maximum(level.mean, 1e-8)))
    factor = higher.mean / level.mean
    added = jnp.sqrt(jnp.maximum(higher.noise**2 - (factor * level.noise) ** 2, 0))
    image = level.mean > 1e-6
    higher = jax.tree.map(lambda new, old: jnp.where(image, new, old), higher, level)
    return jnp.where(image, factor * x + added * context.draw(), x), higher


def _log_ratio(mean, noise):
    """log σ; the half log-SNR with the other sign."""
    return jnp.log(noise) - jnp.log(mean)


def _transfer(x, start, here: tuple, there: tuple):
    """The step of the ODE from (a, s) to (a', s') along which x_0 is `start` throughout; also from a = 0."""
    (mean, noise), (mean_there, noise_there) = here, there
    shrink = noise_there / noise
    return shrink * x + (mean_there - shrink * mean) * start


def dpm_solver() -> Sampler:
    """DPM-Solver++(2M) (Lu et al. 2022b, algorithm 2): x_0 is extrapolated from this step and the one before.

    The first and the last step are of first order.
    """

    def step(context, x, memory, move):
        start = context.denoise(x, move.level)
        earlier, span = memory
        h = _log_ratio(move.mean, move.noise) - _log_ratio(move.mean_before, move.noise_before)
        first = move.number == len(context.schedule.t) - 1
        use = jnp.logical_and(~first, move.noise_before > 0)
        weight = jnp.where(use, h / (2 * span), 0)
        levels = (move.mean, move.noise), (move.mean_before, move.noise_before)
        return _transfer(x, start + weight * (start - earlier), *levels), (start, h)

    return Sampler(step, lambda x: (jnp.zeros_like(x), jnp.ones((), x.dtype)))


def unipc() -> Sampler:
    """UniPC of second order with B(h) = e^h − 1, h the growth of −log σ (Zhao et al. 2023, algorithms 5 and 6).

    The network's answer at the predicted x corrects this x, and serves the next prediction. The first step and the last
    are of first order.
    """

    def step(context, x, memory, move):
        start = context.denoise(x, move.level)
        last, mean, noise, m0, m1, before = memory
        here = move.mean, move.noise
        count = len(context.schedule.t) - 1 - move.number  # steps until here
        log, log_last = _log_ratio(*here), _log_ratio(mean, noise)

        # The corrector of the last step, from its x, its x_0 `m0` and the x_0 before it, `m1`.
        h, e = log_last - log, jnp.expm1(log - log_last)
        b1, b2 = (-e / h - 1) / e, 2 * ((e / h + 1) / h - 0.5) / e
        ratio = (log_last - before) / h
        second = count > 1
        share = jnp.where(second, (b1 - b2) / (1 - ratio), 0)
        slope = jnp.where(second, (m1 - m0) / ratio, 0)
        change = share * slope + jnp.where(second, b1 - share, 0.5) * (start - m0)
        x = jnp.where(count > 0, _transfer(last, m0, (mean, noise), here) - move.mean * e * change, x)

        # The predictor of this step.
        use = jnp.logical_and(count > 0, move.noise_before > 0)
        r = (log - log_last) / (log - _log_ratio(move.mean_before, move.noise_before))
        ahead = start + jnp.where(use, (m0 - start) / (2 * r), 0)
        x, last = _transfer(x, ahead, here, (move.mean_before, move.noise_before)), x
        return x, (last, *here, start, m0, log_last)

    number = lambda x, value: jnp.full((), value, x.dtype)
    return Sampler(
        step,
        lambda x: (x, number(x, 0.5), number(x, 1), jnp.zeros_like(x), jnp.zeros_like(x), number(x, 0)),
    )


def predictor_corrector(corrections: int = 1, snr: float = 0.16) -> Sampler:
    """Langevin steps at each level, then the ancestral step: Song et al. 2021, algorithms 2 and 3.

    The step size is 2 α (snr ‖z‖/‖score‖)² of each sample by itself, α = (a/a')². A step evaluates the network
    `corrections` + 1 times.
    """

    def step(context, x, memory, move):
        def correct(x, part):
            score = _score(context, x, move.level)
            noise = context.draw(part + 1)
            size = 2 * (move.mean / move.mean_before) ** 2 * (snr * _norm(noise) / _norm(score)) ** 2
            return x + size * score + jnp.sqrt(2 * size) * noise, None

        x, _ = jax.lax.scan(correct, x, jnp.arange(corrections))
        return ancestral_step(x, context.denoise(x, move.level), context.draw(), move), memory

    return Sampler(step)


def langevin(corrections: int = 100, step_size: float = 2e-5) -> Sampler:
    """Annealed Langevin dynamics: at each level `corrections` steps x + α/2 score + √α z, α = ε s²/s_0².

    Song & Ermon 2019, algorithm 1, with ε = `step_size`; after the last level x_0 is returned (Song & Ermon 2020,
    algorithm 1).
    """

    def step(context, x, memory, move):
        size = step_size * (move.noise / float(context.schedule.noise[0])) ** 2

        def correct(x, part):
            return x + size / 2 * _score(context, x, move.level) + jnp.sqrt(size) * context.draw(part + 1), None

        x, _ = jax.lax.scan(correct, x, jnp.arange(corrections))
        return jax.lax.cond(move.noise_before > 0, lambda: x, lambda: context.denoise(x, move.level)), memory

    return Sampler(step)


def _score(context, x, level: Level):
    return -noise_of(x, context.denoise(x, level), level.mean, level.noise) / level.noise


def _norm(x):
    """The norm of each sample, [B, 1, ...]."""
    return jnp.sqrt(jnp.sum(x**2, tuple(range(1, x.ndim)), keepdims=True))


def edited(sampler: Sampler, merge: Callable, image, repeats: int = 1) -> Sampler:
    """A sampler that keeps a part of an image: x_t' becomes merge(x_t', a' image + s' ε).

    With `repeats` > 1 each step is undone by noise and done again, so that both parts fit (Lugmayr et al. 2022,
    algorithm 1).

    Args:
      merge: (x_t', noisy image) -> x_t', [B, ...] each.
      image: [B, ...], as x_0.
    """

    def step(context, x, memory, move):
        def once(carry, repeat):
            x, memory = carry
            # A step and its repetitions have noise of their own: the parts of a step are fewer than PARTS.
            own = context._replace(draw=lambda part=0: context.draw(jnp.where(repeat > 0, repeat * PARTS + part, part)))
            x, memory = sampler.step(own, x, memory, move)
            known = move.mean_before * image + move.noise_before * own.draw(PARTS - 1)
            x = merge(x, known)
            back = move.mean / move.mean_before * x + jnp.sqrt(move.variance) * own.draw(PARTS - 2)
            return (jnp.where(repeat < repeats - 1, back, x), memory), None

        return jax.lax.scan(once, (x, memory), jnp.arange(repeats))[0]

    return Sampler(step, sampler.memory)


PARTS = 1 << 20


def inpainting(mask):
    """Everything but what `mask` [B, H, W, 1] marks with 1 is kept (Lugmayr et al. 2022, eq. 8)."""
    return lambda x, known: mask * x + (1 - mask) * known


def low_frequencies(factor: int):
    """The means of all squares of `factor` pixels are kept: super-resolution (Choi et al. 2021, ILVR, eq. 8)."""

    def low(x):
        small = x.reshape(len(x), x.shape[1] // factor, factor, x.shape[2] // factor, factor, -1).mean((2, 4))
        return small.repeat(factor, 1).repeat(factor, 2)

    return lambda x, known: x + low(known - x)


def greys(x, known):
    """The mean of the channels is kept: colourisation."""
    return x + (known - x).mean(-1, keepdims=True)


def encode(denoise: Callable, schedule: Schedule, x):
    """The noise x_T that DDIM turns into the images x [B, ...]: its steps backwards (Song et al. 2021, section 5.4).

    An image is taken as x_t of the first step, whose noise is small.
    """

    def body(x, move):
        start = denoise(x, move.before)
        return move.mean * start + move.noise * noise_of(x, start, move.mean_before, move.noise_before), None

    moves = jax.tree.map(lambda v: jnp.asarray(v[1:], x.dtype), schedule.moves)
    return jax.lax.scan(body, x, moves)[0]


# name -> (options of the task) -> Sampler.
REMEMBERING = ("dpm_solver", "unipc")  # they extrapolate from their earlier steps
SAMPLERS: dict[str, Callable[[Any], Sampler]] = {
    "ancestral": lambda o: (
        learned_ancestral() if o.variance == "learned" else markov(partial(ancestral_step, variance=o.variance))
    ),
    "ddim": lambda o: markov(partial(ddim_step, eta=o.eta)),
    "euler": lambda o: heun(False, o.churn),
    "heun": lambda o: heun(True, o.churn),
    "dpm_solver": lambda o: dpm_solver(),
    "unipc": lambda o: unipc(),
    "reverse_sde": lambda o: reverse_sde(),
    "predictor_corrector": lambda o: predictor_corrector(o.corrections, o.snr),
    "langevin": lambda o: langevin(o.corrections, o.step_size),
}
