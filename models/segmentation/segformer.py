"""SegFormer: a pyramid of Transformer stages without positions, and a perceptron over all of it (Xie et al. 2021).

Xie, Wang, Yu, Anandkumar, Alvarez, Luo, "SegFormer: Simple and Efficient Design for Semantic Segmentation with
Transformers", NeurIPS 2021, section 3. Every LayerNorm has the epsilon of transformers, 1e-5.
"""

import math
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from models.errors import ModelError, check_length
from models.layers.dropout import Dropout
from models.layers.grouped_conv import grouped_conv
from models.layers.norm import norm as normalisation
from models.layers.precision import exact
from models.layers.resize import resize
from models.layers.variants import resolve
from models.port import Port

# Table 6: channels and blocks of the stages, channels of the decoder.
VARIANTS = {
    "B0": dict(widths=(32, 64, 160, 256), depths=(2, 2, 2, 2), decoder=256),
    "B1": dict(widths=(64, 128, 320, 512), depths=(2, 2, 2, 2), decoder=256),
    "B2": dict(widths=(64, 128, 320, 512), depths=(3, 4, 6, 3), decoder=768),
    "B3": dict(widths=(64, 128, 320, 512), depths=(3, 4, 18, 3), decoder=768),
    "B4": dict(widths=(64, 128, 320, 512), depths=(3, 8, 27, 3), decoder=768),
    "B5": dict(widths=(64, 128, 320, 512), depths=(3, 6, 40, 3), decoder=768),
}


class ReducedAttention(nn.Module):
    """softmax(Q Kᵀ / √d) V, whose keys and values are of patches of reduction² tokens: equations 1 and 2."""

    heads: int
    reduction: int
    dense: Any
    norm: Any
    conv: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H, W, C]."""
        b, height, width, channels = x.shape
        if channels % self.heads:
            raise ModelError(f"heads={self.heads} does not divide a width of {channels}")
        read = x
        if self.reduction > 1:
            if min(height, width) < self.reduction:
                raise ModelError(
                    f"the image is too small: {self.reduction}×{self.reduction} tokens are reduced to one, in a map of"
                    f" {height}×{width}"
                )
            window = (self.reduction, self.reduction)
            read = self.norm(name="reduce_norm")(self.conv(channels, window, window, padding=0, name="reduce")(x))

        def split(name, tokens):
            y = self.dense(channels, name=name)(tokens.reshape(b, -1, channels))
            return y.reshape(b, -1, self.heads, channels // self.heads)

        query, key, value = split("query", x), split("key", read), split("value", read)
        scores = exact(jnp.einsum("bqhd,bkhd->bhqk", query / math.sqrt(query.shape[-1]), key))
        weights = jax.nn.softmax(scores).astype(value.dtype)
        y = jnp.einsum("bhqk,bkhd->bqhd", weights, value).reshape(x.shape)
        return self.dense(channels, name="out")(y)


class Block(nn.Module):
    """Attention, then the Mix-FFN of equation 3, each after LayerNorm and around a sum.

    The 3×3 depthwise convolution of the Mix-FFN is what tells the tokens where they are: it sees the zeros of the
    border.
    """

    attention: Any
    ratio: int  # hidden channels of the perceptron over its channels
    drop_rate: Any
    dense: Any
    norm: Any
    conv: Any

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] -> [B, H, W, C]."""
        drop, channels = Dropout(self.drop_rate, shared=(1, 2, 3)), x.shape[-1]
        x = x + drop(self.attention(name="attention")(self.norm(name="norm1")(x)), train)
        y = self.dense(self.ratio * channels, name="fc1")(self.norm(name="norm2")(x))
        depthwise = partial(
            self.conv,
            feature_group_count=y.shape[-1],
            conv_general_dilated=grouped_conv,
            kernel_init=nn.initializers.normal(math.sqrt(2 / 9)),  # He's, for the 9 outputs that an input reaches
        )
        y = nn.gelu(depthwise(y.shape[-1], (3, 3), padding=1, name="depthwise")(y), approximate=False)
        return x + drop(self.dense(channels, name="fc2")(y), train)


class SegFormer(nn.Module):
    """Stages of overlapping patches and blocks; their maps, at the size of the first, are fused and classified."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("stochastic_depth", "dropout_rate")

    variant: str = "B0"  # a name in VARIANTS; fields that are 0 or () have the variant's value
    widths: tuple[int, ...] = ()
    depths: tuple[int, ...] = ()
    decoder: int = 0
    heads: tuple[int, ...] = (1, 2, 5, 8)
    reductions: tuple[int, ...] = (8, 4, 2, 1)
    patches: tuple[int, ...] = (7, 3, 3, 3)  # sides of the windows that make the tokens of a stage
    strides: tuple[int, ...] = (4, 2, 2, 2)
    ratio: int = 4
    stochastic_depth: float = 0.1  # of the last block, from 0 in the first
    dropout_rate: float = 0.1  # before the classifier
    num_classes: int = 150
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float, at least 29×29 -> logits [B, H, W, num_classes], interpolated from a quarter.

        With num_classes=0 a dictionary of the maps of the stages, normalised: "stage1" at stride 4 to "stage4" at 32.
        """
        of = resolve(self, VARIANTS)
        lengths = dict(depths=of.depths, heads=self.heads, reductions=self.reductions, patches=self.patches)
        for name, values in {**lengths, "strides": self.strides}.items():
            check_length(name, values, len(of.widths))
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        dense = partial(nn.Dense, kernel_init=nn.initializers.truncated_normal(0.02), **types)
        he = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        conv = partial(nn.Conv, kernel_init=he, **types)
        norm = normalisation("layer", train, None, **types)

        size, maps, number, last = x.shape[1:3], {}, 0, max(sum(of.depths) - 1, 1)
        for stage, channels in enumerate(of.widths):
            window, stride = self.patches[stage], self.strides[stage]
            x = conv(channels, (window, window), stride, padding=window // 2, name=f"patches{stage + 1}")(x)
            x = norm(name=f"patches{stage + 1}_norm")(x)
            attention = partial(ReducedAttention, self.heads[stage], self.reductions[stage], dense, norm, conv)
            for i in range(of.depths[stage]):
                rate = self.stochastic_depth * number / last
                name = f"stage{stage + 1}_{i}"
                x = Block(attention, self.ratio, rate, dense, norm, conv, name=name)(x, train)
                number += 1
            x = maps[f"stage{stage + 1}"] = norm(name=f"stage{stage + 1}_norm")(x)
        if not self.num_classes:
            return maps

        # Section 3.2: all maps to one width and one size, fused, classified.
        unified = [
            resize(dense(of.decoder, name=f"unify{stage}")(y), *maps["stage1"].shape[1:3])
            for stage, y in enumerate(maps.values(), 1)
        ]
        x = conv(of.decoder, (1, 1), use_bias=False, name="fuse")(jnp.concatenate(unified[::-1], -1))
        x = nn.relu(normalisation("batch", train, self.axis_name, **types)(name="fuse_norm")(x))
        x = Dropout(self.dropout_rate)(x, train)
        x = nn.Conv(self.num_classes, (1, 1), kernel_init=nn.initializers.normal(0.02), name="head", **types)(x)
        return resize(exact(x), *size)


def _stage(match) -> str:
    return f"segformer/stages/{int(match[1]) - 1}/"


PORTS = {
    "transformers": Port(
        names={
            r"^patches(\d)/": lambda match: f"{_stage(match)}patch_embeddings/proj/",
            r"^patches(\d)_norm/": lambda match: f"{_stage(match)}patch_embeddings/layer_norm/",
            r"^stage(\d)_norm/": lambda match: f"{_stage(match)}layer_norm/",
            r"^stage(\d)_(\d+)/": lambda match: f"{_stage(match)}blocks/{match[2]}/",
            r"/norm1/": "/layernorm_before/",
            r"/norm2/": "/layernorm_after/",
            r"/attention/(query|key|value|out)/": lambda match: f"/attention/{match[1][0]}_proj/",
            r"/attention/reduce/": "/attention/sequence_reduction/sequence_reduction/",
            r"/attention/reduce_norm/": "/attention/sequence_reduction/layer_norm/",
            r"/(fc[12])/": r"/mlp/\1/",
            r"/depthwise/": "/mlp/dwconv/dwconv/",
            r"^unify(\d)/": lambda match: f"decode_head/linear_projections/{int(match[1]) - 1}/proj/",
            r"^fuse/": "decode_head/linear_fuse/",
            r"^fuse_norm/": "decode_head/batch_norm/",
            r"^head/": "decode_head/classifier/",
        }
    )
}
