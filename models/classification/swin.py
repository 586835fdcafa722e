"""Swin Transformer: attention in windows that shift from block to block (Liu et al. 2021).

Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows", ICCV 2021, section 3.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError
from models.layers.dropout import Dropout
from models.layers.norm import norm as normalisation
from models.layers.patches import embed_patches
from models.layers.precision import exact
from models.layers.variants import resolve
from models.layers.window_attention import WindowAttention
from models.port import Port, Slice

# Section 3.3: channels of the first stage, blocks and heads of the stages; a head has 32 channels.
VARIANTS = {
    "T": dict(width=96, depths=(2, 2, 6, 2), heads=(3, 6, 12, 24)),
    "S": dict(width=96, depths=(2, 2, 18, 2), heads=(3, 6, 12, 24)),
    "B": dict(width=128, depths=(2, 2, 18, 2), heads=(4, 8, 16, 32)),
    "L": dict(width=192, depths=(2, 2, 18, 2), heads=(6, 12, 24, 48)),
}


class Block(nn.Module):
    """Attention in windows, then a perceptron, each after LayerNorm and around a sum: equation 3."""

    attention: Any
    drop_rate: Any
    norm: Any
    dense: Any

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] -> [B, H, W, C]."""
        drop, channels = Dropout(self.drop_rate, shared=(1, 2, 3)), x.shape[-1]
        x = x + drop(self.attention(name="attention")(self.norm(name="norm1")(x)), train)
        y = self.dense(4 * channels, name="fc1")(self.norm(name="norm2")(x))
        return x + drop(self.dense(channels, name="fc2")(nn.gelu(y, approximate=False)), train)


class Swin(nn.Module):
    """Patches, stages of blocks with merging of 2×2 patches between, LayerNorm, the mean over space, classifier."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("stochastic_depth",)

    variant: str = "T"  # a name in VARIANTS; fields that are 0 or () have the variant's value
    patch: int = 4  # side in pixels
    window: int = 7  # side in patches; every second block shifts by half of it, unless the map is one window
    width: int = 0
    depths: tuple[int, ...] = ()
    heads: tuple[int, ...] = ()
    stochastic_depth: float = 0.2  # of the last block, from 0 in the first; S 0.3, B 0.5
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float, whose map windows tile in every stage (the paper: 224×224) -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps: "stem" and "stage1" at stride `patch`, "stage2" at twice this to
        "stage4" at eight times, and "pre_logits", the mean of the last over space, normalised.
        """
        of = resolve(self, VARIANTS)
        if len(of.depths) != len(of.heads):
            raise ModelError(f"depths={of.depths} and heads={of.heads} have different numbers of stages")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        dense = partial(nn.Dense, kernel_init=nn.initializers.truncated_normal(0.02), **types)
        norm = normalisation("layer", train, None, **types)

        x = norm(name="patches_norm")(embed_patches(x, of.width, self.patch, name="patches", **types))
        maps, number, last = {"stem": x}, 0, max(sum(of.depths) - 1, 1)
        for stage, (count, heads) in enumerate(zip(of.depths, of.heads, strict=True), 1):
            if stage > 1:
                x = self._merge(x, norm, dense, f"stage{stage}_merge")
            for i in range(count):
                attention = partial(WindowAttention, heads, self.window, self.window // 2 * (i % 2), **types)
                rate = self.stochastic_depth * number / last
                x = Block(attention, rate, norm, dense, name=f"stage{stage}_{i}")(x, train)
                number += 1
            maps[f"stage{stage}"] = x
        x = norm(name="norm")(x).mean((1, 2))
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        return exact(dense(self.num_classes, name="head")(x))

    def _merge(self, x, norm, dense, name):
        """2×2 patches as one of twice the channels: [B, H, W, C] -> [B, H/2, W/2, 2C]."""
        if x.shape[1] % 2 or x.shape[2] % 2:
            raise ModelError(f"swin merges 2×2 patches, which do not tile a map of {x.shape[1]}×{x.shape[2]}")
        x = jnp.concatenate([x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)], -1)
        return dense(x.shape[-1] // 2, use_bias=False, name=name)(norm(name=f"{name}_norm")(x))


PORTS = {
    "torchvision": Port(
        names={
            r"^patches/": "features/0/0/",
            r"^patches_norm/": "features/0/2/",
            r"^stage(\d)_merge_norm/": lambda match: f"features/{2 * int(match[1]) - 2}/norm/",
            r"^stage(\d)_merge/": lambda match: f"features/{2 * int(match[1]) - 2}/reduction/",
            r"^stage(\d)_(\d+)/": lambda match: f"features/{2 * int(match[1]) - 1}/{match[2]}/",
            r"/attention/(query|key|value)/": "/attn/qkv/",
            r"/attention/out/": "/attn/proj/",
            r"/attention/bias_table": "/attn/relative_position_bias_table",
            r"/fc1/": "/mlp/0/",
            r"/fc2/": "/mlp/3/",
        },
        slices={r"/query/": Slice(0, 3), r"/key/": Slice(1, 3), r"/value/": Slice(2, 3)},
        ignored=(r"\.relative_position_index$",),
    )
}
