"""Explanation by what the network no longer recognises when a part of the image is covered."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def occlusion(
    apply: Callable,
    variables: Any,
    image: jax.Array,
    label: int,
    window: int,
    stride: int,
    fill: jax.Array | float = 0.0,
    batch: int = 32,
) -> np.ndarray:
    """[H, W], how much the class's probability falls where a window covers the pixel, on average.

    Zeiler & Fergus 2014, section 4.2. Windows move by `stride` and reach over the borders: where it divides the
    window's side, every pixel is covered equally often.

    Args:
      window: the side of the window in pixels; `fill`: its value, for each channel.
      batch: covered images per call.
    """
    height, width, _ = image.shape
    corners = [(y, x) for y in range(stride - window, height, stride) for x in range(stride - window, width, stride)]
    rows, columns = jnp.arange(height)[:, None, None], jnp.arange(width)[None, :, None]

    def cover(corner):
        y, x = corner[0], corner[1]
        inside = (rows >= y) & (rows < y + window) & (columns >= x) & (columns < x + window)
        return jnp.where(inside, jnp.asarray(fill, image.dtype), image)

    @jax.jit
    def probabilities(corners):
        return jax.nn.softmax(apply(variables, jax.vmap(cover)(corners)))[:, label]

    plain = float(jax.nn.softmax(apply(variables, image[None]))[0, label])
    padded = [*corners, *[corners[-1]] * (-len(corners) % batch)]
    blocks = [np.asarray(probabilities(jnp.array(padded[i : i + batch]))) for i in range(0, len(padded), batch)]
    total, count = np.zeros((height, width)), np.zeros((height, width))
    for (y, x), found in zip(corners, np.concatenate(blocks), strict=False):
        covered = np.s_[max(y, 0) : y + window, max(x, 0) : x + window]
        total[covered] += plain - found
        count[covered] += 1
    return total / np.maximum(count, 1)
