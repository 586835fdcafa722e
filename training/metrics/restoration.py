"""How near a restored image is to the original one.

    PSNR = 10 log₁₀ (R² / mean (x − y)²)

    SSIM = mean of (2 μ_x μ_y + C₁)(2 σ_xy + C₂) / ((μ_x² + μ_y² + C₁)(σ_x² + σ_y² + C₂)),   C_i = (K_i R)²

R is the range of the values. The means, variances and covariance of SSIM are weighted by a Gaussian window of 11 × 11
pixels with σ = 1.5, at all places where the window is inside the image; K₁ = 0.01, K₂ = 0.03: Wang et al. 2004,
section III.B. Images of several channels have the mean over channels. Values outside the range are not clipped.
"""

import jax
import jax.numpy as jnp
import numpy as np

from training.errors import TrainingError
from training.losses import per_example, squared_error
from training.metrics.sums import mean

SIDE, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03
METRICS = {"psnr": mean("psnr", "psnr", "max", "dB"), "ssim": mean("ssim", "ssim", "max")}


def psnr(x: jax.Array, y: jax.Array, value_range: float = 1.0) -> jax.Array:
    """PSNR in dB of each pair of images, [B, H, W, C] -> [B]; infinite where they are equal."""
    return 10 * jnp.log10(value_range**2 / per_example(squared_error(x, y)))


def ssim(x: jax.Array, y: jax.Array, value_range: float = 1.0) -> jax.Array:
    """SSIM of each pair of images, [B, H, W, C] -> [B], at most 1.

    Raises TrainingError, while tracing, for images that are smaller than the window.
    """
    if min(x.shape[1:3]) < SIDE:
        raise TrainingError(f"SSIM needs images of {SIDE}×{SIDE} or more, these are {x.shape[1]}×{x.shape[2]}")
    full = jnp.promote_types(jnp.result_type(x, y), jnp.float32)
    x, y = x.astype(full), y.astype(full)
    mean_x, mean_y = windowed(x), windowed(y)
    variances = windowed(x * x) - mean_x**2 + windowed(y * y) - mean_y**2
    covariance = windowed(x * y) - mean_x * mean_y
    c1, c2 = (K1 * value_range) ** 2, (K2 * value_range) ** 2
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return per_example(similarity / ((mean_x**2 + mean_y**2 + c1) * (variances + c2)))


def windowed(x: jax.Array) -> jax.Array:
    """The weighted mean in each window: [B, H, W, C] -> [B, H − 10, W − 10, C]."""
    weights = np.exp(-((np.arange(SIDE) - SIDE // 2) ** 2) / (2 * SIGMA**2))
    weights /= weights.sum()
    for axis in (1, 2):
        length = x.shape[axis] - SIDE + 1
        parts = [jax.lax.slice_in_dim(x, start, start + length, axis=axis) for start in range(SIDE)]
        x = sum(float(weight) * part for weight, part in zip(weights, parts, strict=True))
    return x
