"""DiT: a Transformer over patches in place of the U-Net of diffusion (Peebles & Xie 2023).

Peebles, Xie, "Scalable Diffusion Models with Transformers", ICCV 2023, section 3 and the authors' code: adaLN-Zero
blocks, whose normalisations are scaled and shifted, and whose branches are gated, by numbers made of time and class.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from models.errors import ModelError
from models.layers.attention import SelfAttention
from models.layers.dropout import Dropout
from models.layers.norm import norm as normalisation
from models.layers.patches import embed_patches
from models.layers.precision import exact
from models.layers.time_features import time_features
from models.layers.variants import resolve
from models.port import Port

# Table 1.
VARIANTS = {
    "S": dict(width=384, depth=12, heads=6),
    "B": dict(width=768, depth=12, heads=12),
    "L": dict(width=1024, depth=24, heads=16),
    "XL": dict(width=1152, depth=28, heads=16),
}

PLAIN = dict(epsilon=1e-6, use_bias=False, use_scale=False)  # fields of a LayerNorm that adaLN scales and shifts

xavier = nn.initializers.xavier_uniform()
# Of a patch as a vector [p²C], and of queries, keys and values as one layer of 3C outputs: the authors' code.
xavier_of_patches = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform", in_axis=(0, 1, 2))
xavier_of_three = nn.initializers.variance_scaling(0.5, "fan_avg", "uniform")
zeros = nn.initializers.zeros
small = nn.initializers.normal(0.02)


def grid_waves(height: int, width: int, features: int):
    """Fixed positions [1, height·width, features]: sines and cosines of the column, then those of the row."""
    frequencies = 1 / 10_000 ** (jnp.arange(features // 4) / (features // 4))
    angles = lambda places: places.reshape(-1, 1) * frequencies
    waves = lambda places: jnp.concatenate([jnp.sin(angles(places)), jnp.cos(angles(places))], -1)
    rows, columns = jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij")
    return jnp.concatenate([waves(columns), waves(rows)], -1)[None]


def modulate(x, shift, scale):
    """x: [B, N, C]; shift, scale: [B, C]."""
    return x * (1 + scale[:, None]) + shift[:, None]


class DiTBlock(nn.Module):
    """x ← x + α₁ attention(γ₁ norm(x) + β₁), x ← x + α₂ mlp(γ₂ norm(x) + β₂); the identity at initialisation."""

    heads: int
    dropout_rate: float
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x, condition, train: bool):
        """x: [B, N, C]; condition: [B, C] -> [B, N, C]."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        channels, dense = x.shape[-1], partial(nn.Dense, kernel_init=xavier, **types)
        norm = normalisation("layer", train, None, **PLAIN, **types)
        numbers = nn.Dense(6 * channels, kernel_init=zeros, name="modulation", **types)(nn.swish(condition))
        shift1, scale1, gate1, shift2, scale2, gate2 = jnp.split(numbers, 6, -1)

        y = SelfAttention(self.heads, kernel_init=xavier_of_three, name="attention", **types)(
            modulate(norm(name="norm1")(x), shift1, scale1)
        )
        x = x + gate1[:, None] * y
        y = nn.gelu(dense(4 * channels, name="mlp1")(modulate(norm(name="norm2")(x), shift2, scale2)), approximate=True)
        y = dense(channels, name="mlp2")(Dropout(self.dropout_rate)(y, train))
        return x + gate2[:, None] * y


class DiT(nn.Module):
    """Patches as tokens with fixed positions, `depth` blocks, a linear map of each token back to its patch.

    The variant sets the three fields below it, unless they are given. A conditional one has one label more than
    classes: `null` means "any" and replaces a missing label.
    """

    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    variant: str = "XL"  # a name in VARIANTS
    width: int = 0
    depth: int = 0
    heads: int = 0
    patch: int = 2
    outputs: int = 1  # for each channel of the image; 2: with the mixture of a learned variance, as in the paper
    dropout_rate: float = 0.0
    conditional: bool = False
    spans: bool = False  # it is told how far a step goes, too, as MeanFlow needs
    remat: bool = False  # compute each block again in the backward pass instead of keeping it
    num_classes: int = 1000  # read when conditional
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @property
    def null(self) -> int:
        """The label that means "any class"."""
        return self.num_classes

    @property
    def conditions(self) -> tuple[str, ...]:
        return ("label",) if self.conditional else ()

    @nn.compact
    def __call__(self, x, time, train: bool, label=None, span=None):
        """x: [B, H, W, C], H and W multiples of `patch`; time, span: [B]; label: [B] int -> [B, H, W, outputs·C].

        A missing span is 0.
        """
        if label is not None and not self.conditional:
            raise ModelError("the network is not conditional, so it takes no label")
        if span is not None and not self.spans:
            raise ModelError("the network takes no span: spans=True")
        size, types = resolve(self, VARIANTS), dict(dtype=self.dtype, param_dtype=self.param_dtype)
        if size.width % 4:
            raise ModelError(f"width={size.width} is not a multiple of 4: sines and cosines of rows and columns")
        channels, embed = self.outputs * x.shape[-1], partial(nn.Dense, size.width, kernel_init=small, **types)

        t = embed(name="time2")(nn.swish(embed(name="time1")(time_features(time, 256))))
        if self.spans:
            waves = time_features(jnp.zeros_like(time) if span is None else span, 256)
            t += embed(name="span2")(nn.swish(embed(name="span1")(waves)))
        if self.conditional:
            label = jnp.full(x.shape[0], self.null) if label is None else label
            t += nn.Embed(self.num_classes + 1, size.width, embedding_init=small, name="label", **types)(label)

        # JAX's own convolution: MeanFlow differentiates the network in forward mode.
        plain = dict(kernel_init=xavier_of_patches, conv_general_dilated=jax.lax.conv_general_dilated)
        x = embed_patches(x, size.width, self.patch, name="embedding", **plain, **types)
        rows, columns = x.shape[1:3]
        x = x.reshape(x.shape[0], rows * columns, size.width)
        x += grid_waves(rows, columns, size.width).astype(x.dtype)
        Block = nn.remat(DiTBlock, static_argnums=(3,)) if self.remat else DiTBlock
        for i in range(size.depth):
            x = Block(size.heads, self.dropout_rate, name=f"block{i}", **types)(x, t, train)

        shift, scale = jnp.split(
            nn.Dense(2 * size.width, kernel_init=zeros, name="modulation", **types)(nn.swish(t)), 2, -1
        )
        norm = normalisation("layer", train, None, **PLAIN, **types)(name="norm")
        x = nn.Dense(self.patch**2 * channels, kernel_init=zeros, name="head", **types)(modulate(norm(x), shift, scale))
        x = x.reshape(-1, rows, columns, self.patch, self.patch, channels).transpose(0, 1, 3, 2, 4, 5)
        return exact(x.reshape(-1, rows * self.patch, columns * self.patch, channels))


PORTS = {
    "diffusers": Port(
        names={
            r"^embedding/": "pos_embed/proj/",
            r"^time(\d)/": r"transformer_blocks/0/norm1/emb/timestep_embedder/linear_\1/",
            r"^label/": "transformer_blocks/0/norm1/emb/class_embedder/embedding_table/",
            r"^modulation/": "proj_out_1/",
            r"^head/": "proj_out_2/",
            r"^block(\d+)/": r"transformer_blocks/\1/",
            r"/modulation/": "/norm1/linear/",
            r"/attention/(q|k|v)\w+/": r"/attn1/to_\1/",
            r"/attention/out/": "/attn1/to_out/0/",
            r"/mlp1/": "/ff/net/0/proj/",
            r"/mlp2/": "/ff/net/2/",
        }
    )
}
