"""Vision Transformer: a Transformer encoder that reads image patches as words.

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021.
"""

import math
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from models.errors import ModelError, choose
from models.layers.attention import SelfAttention
from models.layers.dropout import Dropout
from models.layers.precision import exact

# Table 1; Ti and S are of Steiner et al., "How to train your ViT?", 2021, table 1.
VARIANTS = {
    "Ti": dict(width=192, depth=12, heads=3, mlp=768),
    "S": dict(width=384, depth=12, heads=6, mlp=1536),
    "B": dict(width=768, depth=12, heads=12, mlp=3072),
    "L": dict(width=1024, depth=24, heads=16, mlp=4096),
    "H": dict(width=1280, depth=32, heads=16, mlp=5120),
}


class EncoderBlock(nn.Module):
    """x ← x + attention(norm(x)), x ← x + mlp(norm(x)): equations 2 and 3, with the exact GELU."""

    heads: int
    mlp: int
    dropout_rate: float
    stochastic_depth: float
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, N, C] -> [B, N, C]."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        norm = partial(nn.LayerNorm, epsilon=1e-6, **types)
        dense = partial(
            nn.Dense,
            kernel_init=nn.initializers.xavier_uniform(),
            bias_init=nn.initializers.normal(1e-6),
            **types,
        )
        dropout = Dropout(self.dropout_rate)
        branch = Dropout(self.stochastic_depth, shared=(1, 2))  # an example has the whole branch or none of it

        y = norm(name="norm1")(x)
        y = SelfAttention(self.heads, name="attention", **types)(y)
        x = x + branch(dropout(y, train), train)

        y = norm(name="norm2")(x)
        y = dropout(nn.gelu(dense(self.mlp, name="mlp1")(y), approximate=False), train)
        y = dense(x.shape[-1], name="mlp2")(y)
        return x + branch(dropout(y, train), train)


class ViT(nn.Module):
    """Patches of the image as tokens, `depth` blocks, a classifier on the class token or the patches' mean.

    The variant sets the four fields below it, unless they are given: variant="Ti", depth=7 is a shallower Ti.
    """

    variant: str = "B"  # a name in VARIANTS
    width: int = 0
    depth: int = 0
    heads: int = 0
    mlp: int = 0
    patch: int = 16
    pool: str = "token"  # "token": a class token | "gap": the mean of the patches
    representation: int = 0  # width of the tanh layer before the head, which the paper pre-trains with; 0: none
    dropout_rate: float = 0.0
    stochastic_depth: float = 0.0  # rate of the last block; it rises linearly from 0 in the first
    remat: bool = False  # compute each block again in the backward pass instead of keeping it
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float, H and W multiples of `patch` -> logits [B, num_classes]."""
        variant = choose(VARIANTS, "variant", self.variant)
        width, depth, heads, mlp = (getattr(self, field) or value for field, value in variant.items())
        pool = choose({"token": lambda x: x[:, 0], "gap": lambda x: x.mean(1)}, "pool", self.pool)
        if x.shape[1] % self.patch or x.shape[2] % self.patch:
            raise ModelError(f"patch={self.patch} does not tile images of {x.shape[1]}×{x.shape[2]}")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)

        window = (self.patch, self.patch)
        x = nn.Conv(width, window, strides=window, padding="VALID", name="embedding", **types)(x)
        x = x.reshape(len(x), -1, width)
        if self.pool == "token":
            token = self.param("token", nn.initializers.zeros, (1, 1, width), self.param_dtype)
            x = jnp.concatenate([jnp.broadcast_to(token, (len(x), 1, width)).astype(x.dtype), x], axis=1)
        positions = self.param("positions", nn.initializers.normal(0.02), (1, *x.shape[1:]), self.param_dtype)
        x = Dropout(self.dropout_rate)(x + positions.astype(x.dtype), train)

        block = nn.remat(EncoderBlock, static_argnums=(2,)) if self.remat else EncoderBlock
        for i in range(depth):
            rate = self.stochastic_depth * i / max(depth - 1, 1)
            x = block(heads, mlp, self.dropout_rate, rate, name=f"block{i}", **types)(x, train)
        x = pool(nn.LayerNorm(epsilon=1e-6, name="norm", **types)(x))

        if self.representation:
            x = nn.tanh(nn.Dense(self.representation, name="representation", **types)(x))
        x = nn.Dense(self.num_classes, kernel_init=nn.initializers.zeros, name="head", **types)(x)
        return exact(x)

    def adapt(self, name, value, shape):
        """A parameter of this network, trained on square images of another size -> of the shape wanted here.

        What no interpolation brings there is returned as it is.
        """
        if name != "positions" or value.shape[-1] != shape[-1]:
            return value
        tokens = int(self.pool == "token")
        old, new = (math.isqrt(x[1] - tokens) for x in (value.shape, shape))
        square = (old**2 + tokens, new**2 + tokens) == (value.shape[1], shape[1])
        return interpolate_positions(value, (old, old), (new, new)) if square else value


def interpolate_positions(positions, old, new):
    """Position embeddings for another resolution: section 3.2, "fine-tuning and higher resolution".

    positions: [1, tokens + h·w, C] of a grid of old = (h, w) patches -> those of a grid of new = (h', w').
    Bilinear over the grid; the class token's embedding, which has no place in it, is kept as it is.
    """
    tokens = positions.shape[1] - old[0] * old[1]
    if tokens not in (0, 1):
        raise ModelError(f"{positions.shape[1]} position embeddings are not of a grid of {old[0]}×{old[1]}")
    grid = positions[:, tokens:].reshape(1, *old, -1)
    grid = jax.image.resize(grid, (1, *new, grid.shape[-1]), "linear", antialias=False)
    return jnp.concatenate([positions[:, :tokens], grid.reshape(1, new[0] * new[1], -1)], axis=1)
