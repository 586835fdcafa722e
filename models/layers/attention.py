"""Self-attention over a set of tokens. Vaswani et al., "Attention Is All You Need", NeurIPS 2017."""

import math
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from models.errors import ModelError
from models.layers.precision import exact


class SelfAttention(nn.Module):
    """softmax(Q Kᵀ / √d) V with `heads` heads of width C / heads, and a linear map of their concatenation.

    The weights [B, heads, N, N] are sown as `intermediates/.../weights`: ask for them with
    `apply(..., mutable=["intermediates"])`. They cost nothing otherwise.
    """

    heads: int = 1
    rotate: Any = None  # queries or keys [B, N, heads, C / heads] -> the same, turned by their positions
    kernel_init: Any = nn.initializers.xavier_uniform()
    out_init: Any = nn.initializers.xavier_uniform()
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        """x: [B, N, C] -> [B, N, C]; the order of the tokens carries no meaning."""
        channels = x.shape[-1]
        if channels % self.heads:
            raise ModelError(f"heads={self.heads} does not divide a width of {channels}")
        split = (*x.shape[:2], self.heads, channels // self.heads)
        dense = partial(nn.Dense, channels, dtype=self.dtype, param_dtype=self.param_dtype)

        query, key, value = (
            dense(kernel_init=self.kernel_init, name=name)(x).reshape(split) for name in ("query", "key", "value")
        )
        if self.rotate:
            query, key = self.rotate(query), self.rotate(key)
        scores = jnp.einsum("bqhd,bkhd->bhqk", query / math.sqrt(split[-1]), key)
        # The exponentials are taken in float32 at least: in bfloat16 small weights would vanish.
        weights = jax.nn.softmax(exact(scores))
        self.sow("intermediates", "weights", weights)
        heads = jnp.einsum("bhqk,bkhd->bqhd", weights.astype(value.dtype), value)
        return dense(kernel_init=self.out_init, name="out")(heads.reshape(x.shape))
