"""Times as fixed waves, as guided diffusion and its successors have them (Dhariwal & Nichol 2021, authors' code)."""

import math

import jax.numpy as jnp


def time_features(time, features: int):
    """time: [B] -> [B, features]: cosines, then sines, of frequencies from 1 down to, but without, 1/10,000."""
    half = features // 2
    frequencies = jnp.exp(-math.log(10_000.0) * jnp.arange(half) / half)
    angles = time[:, None] * frequencies
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)
