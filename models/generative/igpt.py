"""iGPT: a Transformer decoder that reads an image value by value (Chen et al. 2020).

Chen et al., "Generative Pretraining from Pixels", ICML 2020. It has the layers of GPT-2, with norms that do not
subtract the mean. The paper reduces colours to 512 clusters; here a value is that of one channel.
"""

import math
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from models.errors import ModelError
from models.layers.norm import norm as normalisation
from models.layers.precision import exact
from models.layers.variants import resolve
from models.port import Port

# Section 3.3.
VARIANTS = {
    "S": dict(width=512, depth=24, heads=8),
    "M": dict(width=1024, depth=36, heads=8),
    "L": dict(width=1536, depth=48, heads=16),
}


def quick_gelu(x):
    """x σ(1.702 x), an approximation of the GELU."""
    return x * nn.sigmoid(1.702 * x)


class CausalAttention(nn.Module):
    """Self-attention to the tokens up to one's own."""

    heads: int
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x, at=None, length: int = 0):
        """x: [B, N, D] -> [B, N, D]; with the position `at` [] of one token of `length`, x [B, 1, D] -> [B, 1, D]."""
        width, types = x.shape[-1], dict(dtype=self.dtype, param_dtype=self.param_dtype)
        if width % self.heads:
            raise ModelError(f"heads={self.heads} does not divide a width of {width}")
        split = lambda x: x.reshape(*x.shape[:2], self.heads, -1)
        query, key, value = map(split, jnp.split(nn.Dense(3 * width, name="qkv", **types)(x), 3, axis=-1))
        if at is None:
            seen = jnp.tril(jnp.ones((x.shape[1], x.shape[1]), bool))
        else:
            size = (len(x), length, *key.shape[2:])
            keys, values = (self.variable("cache", name, jnp.zeros, size, key.dtype) for name in ("keys", "values"))
            keys.value = key = jax.lax.dynamic_update_slice_in_dim(keys.value, key, at, axis=1)
            values.value = value = jax.lax.dynamic_update_slice_in_dim(values.value, value, at, axis=1)
            seen = (jnp.arange(length) <= at)[None]
        scores = jnp.einsum("bqhd,bkhd->bhqk", query / math.sqrt(query.shape[-1]), key)
        weights = jax.nn.softmax(jnp.where(seen, exact(scores), -jnp.inf))
        heads = jnp.einsum("bhqk,bkhd->bqhd", weights.astype(value.dtype), value)
        return nn.Dense(width, name="out", **types)(heads.reshape(x.shape))


class IGPT(nn.Module):
    """Embedded values and places, `depth` blocks, and logits of the next value.

    The variant sets the three fields below it, unless they are given.
    """

    conditions: ClassVar[tuple[str, ...]] = ()

    variant: str = "S"  # a name in VARIANTS
    width: int = 0
    depth: int = 0
    heads: int = 0
    outputs: int = 512  # values that there are, and logits
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool, at=None):
        """x: [B, H, W, C] in [0, 1] -> [B, H, W, C·outputs], or with a position `at` [] int32 [B, 1, 1, outputs]."""
        variant, types = resolve(self, VARIANTS), dict(dtype=self.dtype, param_dtype=self.param_dtype)
        length = math.prod(x.shape[1:])
        normal = nn.initializers.normal(0.02)
        norm = normalisation("rms", train, None, epsilon=1e-5, **types)
        values = jnp.round(x.reshape(len(x), -1) * (self.outputs - 1)).astype(jnp.int32)
        before = jnp.pad(values[:, :-1], ((0, 0), (1, 0)), constant_values=self.outputs)  # the start has its own vector
        places = jnp.arange(length)
        if at is not None:
            before, places = before[:, at, None], jnp.atleast_1d(at)
        embed = partial(nn.Embed, features=variant.width, embedding_init=normal, **types)
        tokens = embed(self.outputs + 1, name="values")(before) + embed(length, name="places")(places)
        for i in range(variant.depth):
            attention = CausalAttention(variant.heads, name=f"block{i}_attention", **types)
            tokens = tokens + attention(norm(name=f"block{i}_norm1")(tokens), at, length)
            y = nn.Dense(4 * variant.width, name=f"block{i}_mlp1", **types)(norm(name=f"block{i}_norm2")(tokens))
            tokens = tokens + nn.Dense(variant.width, name=f"block{i}_mlp2", **types)(quick_gelu(y))
        head = nn.Dense(self.outputs, use_bias=False, kernel_init=normal, name="head", **types)
        logits = exact(head(norm(name="norm")(tokens)))
        return logits[:, None] if at is not None else logits.reshape(*x.shape[:3], -1)

    def step(self, x, position):
        """x: [B, H, W, C], right before `position` [] int32 -> [B, outputs] of that value."""
        return self(x, False, position)[:, 0, 0]


PORTS = {
    "transformers": Port(
        names={
            r"^values/": "transformer/wte/",
            r"^places/": "transformer/wpe/",
            r"^norm/": "transformer/ln_f/",
            r"^head/": "lm_head/",
            r"^block(\d+)_norm(\d)/": r"transformer/h/\1/ln_\2/",
            r"^block(\d+)_attention/qkv/": r"transformer/h/\1/attn/c_attn/",
            r"^block(\d+)_attention/out/": r"transformer/h/\1/attn/c_proj/",
            r"^block(\d+)_mlp1/": r"transformer/h/\1/mlp/c_fc/",
            r"^block(\d+)_mlp2/": r"transformer/h/\1/mlp/c_proj/",
        },
        layouts={r"block.*kernel$": (0, 1)},
        ignored=(r"attn\.(masked_)?bias$",),
    )
}
