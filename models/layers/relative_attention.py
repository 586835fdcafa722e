"""Self-attention over a map with relative positions. Srinivas et al., CVPR 2021, figure 4."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from models.errors import ModelError
from models.layers.precision import exact


def project(x, heads: int, **types):
    """Queries, keys and values of a map [B, H, W, C], each [B, H, W, heads, C / heads]; inside a compact method."""
    channels = x.shape[-1]
    if channels % heads:
        raise ModelError(f"heads={heads} does not divide a width of {channels}")
    split = (*x.shape[:3], heads, channels // heads)
    return tuple(
        nn.Conv(channels, (1, 1), use_bias=False, name=name, **types)(x).reshape(split)
        for name in ("query", "key", "value")
    )


def position_tables(module: nn.Module, rows: int, columns: int, width: int):
    """Learned vectors of differences of rows [rows, width] and of columns [columns, width]."""
    init = nn.initializers.normal(1 / math.sqrt(width))
    return tuple(
        module.param(name, init, (count, width), module.param_dtype)
        for name, count in (("rows", rows), ("columns", columns))
    )


def attend(query, key, value, rows, columns, inside=True):
    """softmax((q kᵀ + q rᵀ) / √D) v, where r is the vector of the difference of rows plus that of columns.

    Args:
      query: [N, H, W, heads, D].
      key, value: [N, H', W', heads, D].
      rows: [H + H' - 1, D]: index i - j + H - 1 is that of a query in row j and a key in row i.
      columns: [W + W' - 1, D], likewise.
      inside: bool, broadcast to [N, H', W']: keys that take part.

    Returns [N, H, W, heads, D].
    """

    def between(table, queries, keys):
        """[queries, keys, D]."""
        return jnp.asarray(table, query.dtype)[jnp.arange(keys) - jnp.arange(queries)[:, None] + queries - 1]

    query = query / math.sqrt(query.shape[-1])
    scores = jnp.einsum("nhwkd,nabkd->nkhwab", query, key)
    scores += jnp.einsum("nhwkd,had->nkhwa", query, between(rows, query.shape[1], key.shape[1]))[..., None]
    scores += jnp.einsum("nhwkd,wbd->nkhwb", query, between(columns, query.shape[2], key.shape[2]))[..., None, :]
    inside = jnp.broadcast_to(inside, (len(key), *key.shape[1:3]))[:, None, None, None]
    # The exponentials are taken in float32 at least: in bfloat16 small weights would vanish.
    weights = jax.nn.softmax(jnp.where(inside, exact(scores), -jnp.inf), axis=(-2, -1))
    return jnp.einsum("nkhwab,nabkd->nhwkd", weights.astype(value.dtype), value)


class RelativeAttention(nn.Module):
    """Every position of the map attends to all positions. The tables of positions fit maps of one size."""

    heads: int = 4
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H, W, C]; C is a multiple of `heads`."""
        query, key, value = project(x, self.heads, dtype=self.dtype, param_dtype=self.param_dtype)
        height, width = x.shape[1:3]
        tables = position_tables(self, 2 * height - 1, 2 * width - 1, query.shape[-1])
        return attend(query, key, value, *tables).reshape(x.shape)
