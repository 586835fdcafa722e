"""Attention within blocks of a map and a halo around them. Vaswani et al., "Scaling Local Self-Attention", CVPR 2021.

Blocks of one pixel give the local attention of Ramachandran et al., "Stand-Alone Self-Attention in Vision Models",
NeurIPS 2019, section 3: a pixel attends to the window of side 2 · halo + 1 around it. HaloNet and this layer add the
vectors of rows and columns; Ramachandran et al. concatenate two vectors of half the width.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError
from models.layers.relative_attention import attend, position_tables, project


def windows(x, block: int, halo: int):
    """The blocks of a map with `halo` more pixels on each side, zeros outside of the map.

    x: [B, H, W, ...] -> [B · H/block · W/block, block + 2 halo, block + 2 halo, ...], row by row.
    """
    starts = [jnp.arange(0, side, block)[:, None] for side in x.shape[1:3]]
    rows, columns = (start + jnp.arange(block + 2 * halo) for start in starts)
    x = jnp.pad(x, ((0, 0), (halo, halo), (halo, halo), *[(0, 0)] * (x.ndim - 3)))
    x = x[:, rows][:, :, :, columns]  # [B, H/block, window, W/block, window, ...]
    return x.swapaxes(2, 3).reshape(-1, *x.shape[2:3], *x.shape[4:])


class HaloAttention(nn.Module):
    """The pixels of a block share one window of keys: the block and a halo around it. Section 3.2."""

    heads: int = 8
    block: int = 8
    halo: int = 3
    masked: bool = True  # False: keys outside of the map are zeros that take part in the softmax, as in timm
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H, W, C]; C is a multiple of `heads`, H and W of `block`."""
        size, height, width, _ = x.shape
        if self.block < 1 or self.halo < 0:
            raise ModelError(f"block={self.block} is at least 1 and halo={self.halo} at least 0")
        if height % self.block or width % self.block:
            raise ModelError(f"block={self.block} does not tile a map of {height}×{width}")
        query, key, value = project(x, self.heads, dtype=self.dtype, param_dtype=self.param_dtype)
        count = 2 * (self.block + self.halo) - 1  # differences of a row of the block and one of its window
        tables = position_tables(self, count, count, query.shape[-1])
        inside = windows(jnp.ones((size, height, width), bool), self.block, self.halo) if self.masked else True
        y = attend(
            windows(query, self.block, 0),
            windows(key, self.block, self.halo),
            windows(value, self.block, self.halo),
            *tables,
            inside,
        )
        y = y.reshape(size, height // self.block, width // self.block, self.block, self.block, -1)
        return y.swapaxes(2, 3).reshape(x.shape)
