"""Losses of detectors, elementwise or per box. None of them averages."""

import jax
import jax.numpy as jnp

from training.losses import sigmoid_cross_entropy


def focal(logits: jax.Array, targets: jax.Array, alpha=0.25, gamma=2.0) -> jax.Array:
    """−α_t (1 − p_t)^γ log p_t: cross-entropy that forgets what is easy. Lin et al. 2017, equation 5.

    Args:
      logits, targets: equally shaped, targets 0 or 1.

    Returns: elementwise.
    """
    p = jax.nn.sigmoid(logits)
    missed = p + targets - 2 * p * targets  # 1 − p_t
    weight = alpha * targets + (1 - alpha) * (1 - targets)
    return weight * missed**gamma * sigmoid_cross_entropy(logits, targets)


def smooth_l1(difference: jax.Array, beta: float = 1.0) -> jax.Array:
    """x²/2β where |x| < β, |x| − β/2 elsewhere; |x| for β = 0. Elementwise. Girshick 2015, equation 3."""
    size = jnp.abs(difference)
    return jnp.where(size < beta, size**2 / (2 * beta), size - beta / 2) if beta else size
