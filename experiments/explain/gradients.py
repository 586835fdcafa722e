"""Explanations by the gradient of a class's logit with respect to the image."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from experiments.explain.relu import DECONVNET, GUIDED, with_relu

BATCH = 16  # images whose gradients are computed at once


@functools.partial(jax.jit, static_argnums=0)
def _sum_of_gradients(apply, variables, images, label):
    # The images of a batch do not see one another in evaluation, so the gradient of the sum is that of each.
    return jax.grad(lambda x: apply(variables, x)[:, label].sum())(images).sum(0)


def gradient(apply: Callable, variables: Any, image: jax.Array, label: int) -> jax.Array:
    """∂ logit / ∂ image, [H, W, C]."""
    return _sum_of_gradients(apply, variables, image[None], label)


def mean_gradient(apply: Callable, variables: Any, images: Callable, count: int, label: int) -> jax.Array:
    """[H, W, C], the mean over `count` images; `images(numbers [B])` gives some of them, [B, H, W, C].

    They are computed in batches, for XLA's CPU backend differentiates convolutions in a loop slowly.
    """
    starts = range(0, count, BATCH)
    parts = [images(jnp.arange(start, min(start + BATCH, count))) for start in starts]
    return sum(_sum_of_gradients(apply, variables, part, label) for part in parts) / count


def saliency(apply: Callable, variables: Any, image: jax.Array, label: int) -> jax.Array:
    """[H, W], the largest absolute gradient of the channels. Simonyan et al. 2014, section 3.1."""
    return jnp.abs(gradient(apply, variables, image, label)).max(-1)


def guided(apply: Callable, variables: Any, image: jax.Array, label: int) -> jax.Array:
    """[H, W, C], guided back-propagation. Springenberg et al. 2015, section 3.4."""
    return gradient(with_relu(apply, GUIDED), variables, image, label)


def deconvnet(apply: Callable, variables: Any, image: jax.Array, label: int) -> jax.Array:
    """[H, W, C], the logit brought back by a deconvnet. Zeiler & Fergus 2014, section 2.1.

    The gradient of max pooling puts a value where the maximum was: these are the paper's switches.
    """
    return gradient(with_relu(apply, DECONVNET), variables, image, label)


def integrated_gradients(
    apply: Callable, variables: Any, image: jax.Array, label: int, baseline: jax.Array, steps: int = 64
) -> jax.Array:
    """[H, W, C] whose sum is logit(image) − logit(baseline), up to the error of the sum over `steps`.

    (x − x₀) ∫ ∂logit(x₀ + α (x − x₀)) dα over α in [0, 1], by the midpoint rule. Sundararajan et al. 2017, equation 1.
    """

    def between(numbers):
        alpha = ((numbers + 0.5) / steps)[:, None, None, None]
        return baseline + alpha.astype(image.dtype) * (image - baseline)

    return (image - baseline) * mean_gradient(apply, variables, between, steps, label)


def smoothgrad(
    apply: Callable,
    variables: Any,
    image: jax.Array,
    label: int,
    key: jax.Array,
    noise: float = 0.15,
    samples: int = 32,
) -> jax.Array:
    """[H, W], the saliency of the mean gradient over noisy copies of the image. Smilkov et al. 2017.

    noise: standard deviation, as a part of the range of the image's values.
    """
    scale = noise * (image.max() - image.min())

    def noisy(numbers):
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)
        return image + scale * jax.vmap(lambda key: jax.random.normal(key, image.shape, image.dtype))(keys)

    return jnp.abs(mean_gradient(apply, variables, noisy, samples, label)).max(-1)
