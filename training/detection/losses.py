"""Losses of detectors, elementwise or per box. None of them averages."""

import jax
import jax.numpy as jnp

from training import losses


def smooth_l1(difference: jax.Array, beta: float = 1.0) -> jax.Array:
    """`training.losses.smooth_l1` of a difference, and its limit |x| for β = 0. Elementwise."""
    return losses.smooth_l1(difference, 0.0, beta) if beta else jnp.abs(difference)
