"""Pictures that a classifier gets wrong, close to those that it gets right.

`apply(variables, images)` takes images [B, H, W, C] with values in [0, 1], before they are scaled.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax


@functools.partial(jax.jit, static_argnums=0)
def _ascended(apply, variables, images, labels, size, low, high):
    """Images moved by `size` along the sign of the loss's gradient, between `low` and `high`."""
    loss = lambda x: optax.softmax_cross_entropy_with_integer_labels(apply(variables, x), labels).sum()
    return jnp.clip(images + size * jnp.sign(jax.grad(loss)(images)), low, high)


def fgsm(apply: Callable, variables: Any, images: jax.Array, labels: jax.Array, epsilon: float) -> jax.Array:
    """x + ε sign(∂ loss / ∂ x), in [0, 1]. Goodfellow et al., ICLR 2015, section 4."""
    return _ascended(apply, variables, images, labels, epsilon, 0.0, 1.0)


def pgd(
    apply: Callable,
    variables: Any,
    images: jax.Array,
    labels: jax.Array,
    epsilon: float,
    key: jax.Array,
    steps: int = 10,
) -> jax.Array:
    """`steps` ascents by the sign within ε of every value, from a random start. Madry et al., ICLR 2018, section 2.1.

    A step is 2.5 ε / steps, as in their challenge: it can reach the border from any start.
    """
    low, high = jnp.clip(images - epsilon, 0, 1), jnp.clip(images + epsilon, 0, 1)
    found = jnp.clip(images + epsilon * jax.random.uniform(key, images.shape, images.dtype, -1, 1), low, high)
    for _ in range(steps):  # on the host: XLA's CPU backend differentiates convolutions in a loop slowly
        found = _ascended(apply, variables, found, labels, 2.5 * epsilon / steps, low, high)
    return found
