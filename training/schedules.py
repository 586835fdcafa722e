"""Learning rate schedules: formulas of the step, nothing else.

Every schedule is `f(step, *, steps, **numbers) -> learning rate`, where `steps` is the length of the
training. All of these may be traced, so no formula branches on them in Python: one compiled program serves a
whole sweep. Warm-up, where a schedule has it, is linear from 0 and reaches the peak at step `warmup_steps`; 0
turns it off.
"""

import jax.numpy as jnp


def _time(step):
    """The step as a float: exact up to 2**24 steps in float32, and float64 where that is enabled."""
    return jnp.asarray(step, jnp.result_type(float))


def _warmup(step, warmup_steps):
    """t/w while t < w, then 1."""
    t = _time(step)
    return jnp.where(t < warmup_steps, t / jnp.maximum(warmup_steps, 1), 1.0)


def _progress(step, steps, warmup_steps=0):
    """How much of what follows the warm-up is done, in [0, 1]."""
    return jnp.clip((_time(step) - warmup_steps) / jnp.maximum(steps - warmup_steps, 1), 0.0, 1.0)


def constant(step, *, steps, peak=0.1, warmup_steps=0):
    """η = peak."""
    return peak * _warmup(step, warmup_steps)


def step(step, *, steps, peak=0.1, boundaries=(), factor=0.1, warmup_steps=0):
    """η = peak · factor^(number of boundaries passed). A boundary is the first step at the lower rate."""
    passed = jnp.where(_time(step) >= jnp.asarray(boundaries), factor, 1.0)
    return peak * passed.prod() * _warmup(step, warmup_steps)


def exponential(step, *, steps, peak=0.1, factor=0.94, every=1000, warmup_steps=0):
    """η = peak · factor^(t/every), with t counted from the end of the warm-up."""
    t = jnp.maximum(_time(step) - warmup_steps, 0)
    return peak * factor ** (t / every) * _warmup(step, warmup_steps)


def linear(step, *, steps, peak=0.1, end=0.0, warmup_steps=0):
    """η falls in a straight line from peak to end."""
    return polynomial(step, steps=steps, peak=peak, end=end, power=1.0, warmup_steps=warmup_steps)


def polynomial(step, *, steps, peak=0.1, end=0.0, power=0.9, warmup_steps=0):
    """η = end + (peak − end)(1 − s)^power, s the progress: the "poly" rule of DeepLab (Chen et al. 2017)."""
    decay = (1 - _progress(step, steps, warmup_steps)) ** power
    return (end + (peak - end) * decay) * _warmup(step, warmup_steps)


def cosine(step, *, steps, peak=0.1, end=0.0, warmup_steps=0):
    """η = end + (peak − end)(1 + cos πs)/2, s the progress: Loshchilov & Hutter 2017, eq. 5, no restarts."""
    decay = (1 + jnp.cos(jnp.pi * _progress(step, steps, warmup_steps))) / 2
    return (end + (peak - end) * decay) * _warmup(step, warmup_steps)


def one_cycle(step, *, steps, peak=0.1, pct_start=0.3, div_factor=25.0, final_div_factor=1e4):
    """Half a cosine up from peak/div_factor, half a cosine down to peak/(div_factor · final_div_factor).

    Smith & Topin 2018, "Super-Convergence", as in optax. The way up takes ⌊pct_start · steps⌋ steps.
    """
    top = jnp.floor(pct_start * steps)
    start = peak / div_factor
    end = start / final_div_factor
    up = (1 - jnp.cos(jnp.pi * _progress(step, top))) / 2
    down = (1 + jnp.cos(jnp.pi * _progress(step, steps, top))) / 2
    return jnp.where(_time(step) < top, start + (peak - start) * up, end + (peak - end) * down)


def rsqrt(step, *, steps, peak=0.1, warmup_steps=10_000):
    """η = peak · min(t/w, √(w/t)), w the warm-up: Vaswani et al. 2017, eq. 3, scaled to its peak."""
    w = jnp.maximum(warmup_steps, 1)
    return peak * jnp.sqrt(w / jnp.maximum(_time(step), w)) * _warmup(step, warmup_steps)
