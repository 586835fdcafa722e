"""Blur before subsampling, so that shifts of the image matter less. Zhang, ICML 2019, section 3."""

import jax
import jax.numpy as jnp

from models.errors import ModelError


def blur_pool(x):
    """Every second pixel of x smoothed by the binomial filter (1, 2, 1)/4 in both axes, mirrored at the border.

    x: [B, H, W, C], at least 2×2 -> [B, ⌈H/2⌉, ⌈W/2⌉, C].
    """
    if min(x.shape[1:3]) < 2:
        raise ModelError(f"a map of {x.shape[1]}×{x.shape[2]} cannot be blurred: the image is too small")
    for axis in (1, 2):
        size = x.shape[axis]
        x = jnp.pad(x, [(int(i == axis),) * 2 for i in range(4)], mode="reflect")
        before, here, after = (jax.lax.slice_in_dim(x, i, i + size, 2, axis) for i in range(3))
        x = (before + 2 * here + after) / 4
    return x
