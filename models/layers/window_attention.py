"""Self-attention inside windows of a map. Liu et al., "Swin Transformer", ICCV 2021, section 3.2."""

import math
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from models.errors import ModelError
from models.layers.precision import exact


def windows(x, window: int):
    """x: [B, H, W, C] -> [B, N, window², C], the N windows row by row."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // window, window, w // window, window, c).swapaxes(2, 3)
    return x.reshape(b, -1, window**2, c)


def joined(x, height: int, width: int):
    """The inverse of `windows`: [B, N, window², C] -> [B, height, width, C]."""
    b, _, area, c = x.shape
    window = math.isqrt(area)
    x = x.reshape(b, height // window, width // window, window, window, c).swapaxes(2, 3)
    return x.reshape(b, height, width, c)


def relative_positions(window: int) -> np.ndarray:
    """[window², window²] int: the row of the bias table for a query and a key; one for each offset of the two."""
    rows, columns = np.divmod(np.arange(window**2), window)
    down, right = (n[:, None] - n[None] + window - 1 for n in (rows, columns))
    return down * (2 * window - 1) + right


def neighbours(height: int, width: int, window: int, shift: tuple[int, int]) -> np.ndarray:
    """[N, window², window²] bool: whether query and key of a window were in one piece before the map was rolled."""
    sides = zip((height, width), shift, strict=True)
    regions = [np.searchsorted([n - window, n - by], np.arange(n), side="right") for n, by in sides]
    region = windows((3 * regions[0][:, None] + regions[1])[None, :, :, None], window)[0, :, :, 0]
    return region[:, :, None] == region[:, None, :]


class WindowAttention(nn.Module):
    """softmax(Q Kᵀ / √d + B) V in each window: equation 4. With `shift` the windows begin that much later.

    A shifted map is rolled, so that the windows tile it; pieces from opposite borders do not see each other (figure 4).
    Along an axis that one window covers nothing is shifted.
    """

    heads: int
    window: int
    shift: int = 0  # pixels, down and right
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H, W, C]. Raises ModelError unless `window` divides H and W, and `heads` C."""
        _, height, width, channels = x.shape
        if height % self.window or width % self.window:
            raise ModelError(f"window={self.window} does not tile a map of {height}×{width}")
        if channels % self.heads:
            raise ModelError(f"heads={self.heads} does not divide a width of {channels}")
        kernel = nn.initializers.truncated_normal(0.02)
        dense = partial(nn.Dense, kernel_init=kernel, dtype=self.dtype, param_dtype=self.param_dtype)
        table = self.param("bias_table", kernel, ((2 * self.window - 1) ** 2, self.heads), self.param_dtype)

        shift = tuple(self.shift if n > self.window else 0 for n in (height, width))
        x = windows(jnp.roll(x, tuple(-by for by in shift), (1, 2)), self.window)
        split = (*x.shape[:3], self.heads, channels // self.heads)
        query, key, value = (dense(channels, name=name)(x).reshape(split) for name in ("query", "key", "value"))
        scores = exact(jnp.einsum("bnqhd,bnkhd->bnhqk", query / math.sqrt(split[-1]), key))
        scores += table[relative_positions(self.window)].transpose(2, 0, 1)
        if any(shift):
            seen = neighbours(height, width, self.window, shift)[:, None]
            scores = jnp.where(seen, scores, -jnp.inf)
        weights = jax.nn.softmax(scores).astype(value.dtype)
        x = jnp.einsum("bnhqk,bnkhd->bnqhd", weights, value).reshape(x.shape)
        x = joined(dense(channels, name="out")(x), height, width)
        return jnp.roll(x, shift, (1, 2))
