"""Filters of one image [H, W, C], float: each pixel becomes a weighted mean of its neighbourhood."""

import jax
import jax.numpy as jnp


def smooth(image):
    """The 3 × 3 mean with weight 5 in the middle; the border is unchanged (Pillow's ImageFilter.SMOOTH)."""
    around = jax.lax.reduce_window(image, 0.0, jax.lax.add, (3, 3, 1), (1, 1, 1), "VALID")
    return image.at[1:-1, 1:-1].set((around + 4 * image[1:-1, 1:-1]) / 13)


def gaussian_blur(image, size: int, sigma):
    """Convolved with a normalised Gaussian of `size` (odd) × `size` taps; the image is mirrored at its borders.

    sigma: the standard deviation in pixels, which may be traced.
    """
    offsets = jnp.arange(size, dtype=image.dtype) - size // 2
    weights = jnp.exp(-((offsets / sigma) ** 2) / 2)
    weights = weights / weights.sum()
    for axis in (0, 1):
        widths = [(size // 2, size // 2) if axis == other else (0, 0) for other in range(image.ndim)]
        padded = jnp.pad(image, widths, "reflect")
        taps = [jnp.take(padded, jnp.arange(image.shape[axis]) + tap, axis) for tap in range(size)]
        image = sum(weight * tap for weight, tap in zip(weights, taps, strict=True))
    return image
