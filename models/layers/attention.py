"""Self-attention over a set of tokens. Vaswani et al., "Attention Is All You Need", NeurIPS 2017, section 3.2."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


class SelfAttention(nn.Module):
    """softmax(Q Kᵀ / √d) V with `heads` heads of width C / heads, and a linear map of their concatenation.

    The weights `[B, heads, N, N]` are sown as `intermediates/.../weights`: ask for them with
    `apply(..., mutable=["intermediates"])`. They cost nothing otherwise.
    """

    heads: int = 1
    kernel_init: Any = nn.initializers.xavier_uniform()
    out_init: Any = nn.initializers.xavier_uniform()
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        """`[B, N, C]` → `[B, N, C]`; the order of the tokens carries no meaning."""
        channels = x.shape[-1]
        if channels % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {channels}")
        split = (self.heads, channels // self.heads)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)

        query, key, value = (
            nn.DenseGeneral(split, kernel_init=self.kernel_init, name=name, **types)(x)
            for name in ("query", "key", "value")
        )
        scores = jnp.einsum("bqhd,bkhd->bhqk", query / jnp.sqrt(split[1]).astype(query.dtype), key)
        # The exponentials are taken in float32 at least: in bfloat16 small weights would vanish.
        weights = jax.nn.softmax(scores.astype(jnp.promote_types(scores.dtype, jnp.float32)))
        self.sow("intermediates", "weights", weights)
        heads = jnp.einsum("bhqk,bkhd->bqhd", weights.astype(value.dtype), value)
        return nn.DenseGeneral(channels, axis=(-2, -1), kernel_init=self.out_init, name="out", **types)(heads)
