"""The likelihood of a diffusion model: log p(x) by the change of variables along its probability-flow ODE.

    log p_0(x_0) = log p_T(x_T) + ∫ ∇·v dt,  dx = v dt = x̂_0 da + ε̂ ds        Song et al. 2021, eq. 39

with the trace of the Jacobian estimated from one random direction e of ±1, ∇·f ≈ eᵀ (∂f/∂x) e (Skilling 1989,
Hutchinson 1990; Song et al. 2021, eq. 40).
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from training.diffusion import Level, Schedule, noise_of
from training.likelihoods import HALF_BIN


def log_likelihood(denoise: Callable, schedule: Schedule, x, probe):
    """log p(x) in nats, [B], by Heun's method over the levels of a schedule; x is taken as x_t of the first level.

    Args:
      denoise: (x_t [B, ...], Level of scalars) -> x_0 [B, ...].
      x: [B, ...].
      probe: e, like x, of 1 and −1.
    """
    size = math.prod(x.shape[1:])
    summed = lambda x: x.reshape(len(x), -1).sum(1)

    def fields(x, level):
        """x_0 and ε at x, and their divergences [B]."""
        start, back = jax.vjp(lambda x: denoise(x, level), x)
        divergence = summed(back(probe)[0] * probe)
        noise = noise_of(x, start, level.mean, level.noise)
        return start, noise, divergence, (size - level.mean * divergence) / level.noise

    def body(carry, pair):
        x, change = carry
        low, high = pair
        da, ds = high.mean - low.mean, high.noise - low.noise
        first = fields(x, low)
        ahead = fields(x + da * first[0] + ds * first[1], high)
        start, noise, of_start, of_noise = ((f + g) / 2 for f, g in zip(first, ahead, strict=True))
        return (x + da * start + ds * noise, change + da * of_start + ds * of_noise), None

    cut = lambda part: Level(*(jnp.asarray(v[part], x.dtype) for v in schedule.levels))
    pairs = cut(slice(None, -1)), cut(slice(1, None))
    (last, change), _ = jax.lax.scan(body, (x, jnp.zeros(len(x), x.dtype)), pairs)
    prior = -0.5 * (last / schedule.prior) ** 2 - math.log(schedule.prior) - 0.5 * math.log(2 * math.pi)
    return summed(prior) + change


def bits_per_dim(denoise: Callable, schedule: Schedule, images, keys):
    """−log₂ P per pixel and channel of 8-bit images [B, H, W, C] in [-1, 1], at most: a bound, [B].

    Each value is spread evenly over its bin (Theis et al. 2016, section 3.1), one draw for each image by its key of
    `keys` [B].
    """
    split = jax.vmap(jax.random.split)(keys)
    shape, dtype = images.shape[1:], images.dtype
    shift = jax.vmap(lambda key: jax.random.uniform(key, shape, dtype, -HALF_BIN, HALF_BIN))(split[:, 0])
    probe = jax.vmap(lambda key: jax.random.rademacher(key, shape, dtype))(split[:, 1])
    nats = -log_likelihood(denoise, schedule, images + shift, probe)
    return nats / (math.prod(shape) * math.log(2)) - math.log2(2 * HALF_BIN)
