"""Rotary position embeddings: Su et al. 2021, section 3.2; over two axes as in Fang et al., EVA-02, 2023."""

import jax.numpy as jnp
import numpy as np

from models.errors import ModelError


def rotate(x, grid: tuple[int, int], tokens: int = 0, theta: float = 10_000.0):
    """Turns pairs of channels by angles that grow with the position: q·k then depends on differences of positions.

    The first half of the channels turns with the row and the second half with the column; pair i of n in a half turns
    by position · theta^(−i/n).

    Args:
      x: queries or keys [B, tokens + h·w, heads, D], where 4 divides D.
      grid: (h, w) of the patches.
      tokens: how many tokens in front of the patches have no position and are left as they are.
    """
    depth = x.shape[-1]
    if depth % 4:
        raise ModelError(f"rotary positions over two axes need a multiple of 4 channels a head, not {depth}")
    frequencies = theta ** -(np.arange(depth // 4) / (depth // 4))
    rows, columns = np.meshgrid(*map(np.arange, grid), indexing="ij")
    angles = np.concatenate([axis.reshape(-1, 1) * frequencies for axis in (rows, columns)], -1)[:, None]
    cosine, sine = jnp.asarray(np.cos(angles), x.dtype), jnp.asarray(np.sin(angles), x.dtype)
    fixed, moving = x[:, :tokens], x[:, tokens:]
    even, odd = moving[..., ::2], moving[..., 1::2]
    turned = jnp.stack([even * cosine - odd * sine, odd * cosine + even * sine], -1)
    return jnp.concatenate([fixed, turned.reshape(moving.shape)], 1)
