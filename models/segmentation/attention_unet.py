"""Attention U-Net: what is skipped is weighted by what the decoder already sees (Oktay et al. 2018).

Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", MIDL 2018, section 2, in two dimensions.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError
from models.layers.conv import ConvTranspose
from models.layers.norm import norm as normalisation
from models.layers.pool import max_pool
from models.layers.precision import exact
from models.layers.resize import resize
from models.segmentation.unet import DoubleConv, align, he_normal, he_normal_up


class AttentionGate(nn.Module):
    """x · α, α = sigmoid(ψ relu(W_x x + W_g g + b_g) + b_ψ): equations 1 and 2, α interpolated from the size of g."""

    hidden: int
    conv: Any

    @nn.compact
    def __call__(self, x, g):
        """x: [B, H, W, C], the map to skip; g: [B, H // 2, W // 2, C'], the gating signal -> [B, H, W, C]."""
        height, width = g.shape[1:3]
        seen = self.conv(self.hidden, (1, 1), 2, use_bias=False, name="skipped")(x[:, : 2 * height, : 2 * width])
        seen = nn.relu(seen + self.conv(self.hidden, (1, 1), name="gating")(g))
        alpha = nn.sigmoid(self.conv(1, (1, 1), name="weight")(seen))
        return x * resize(alpha, *x.shape[1:3])


class AttentionUNet(nn.Module):
    """A padded U-Net with BatchNorm, and a gate on every skip but the first, which is too shallow to tell (section 2).

    The gating signal is the decoder's map one level below.
    """

    conditions: ClassVar[tuple[str, ...]] = ()

    width: int = 64  # channels of the first level; each level down has twice as many
    depth: int = 4
    num_classes: int = 2
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float, at least 2^depth pixels a side -> logits [B, H, W, num_classes].

        With num_classes=0 a dictionary of maps: "stage1" at stride 1, ... on the way down, "bottom" at 2^depth, and
        "up1", ..., whose last the head reads.
        """
        if min(x.shape[1:3]) < 2**self.depth:
            side = 2**self.depth
            raise ModelError(f"depth={self.depth} needs images of {side}×{side}, not {x.shape[1]}×{x.shape[2]}")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        norm = normalisation("batch", train, self.axis_name, **types)
        point = partial(nn.Conv, kernel_init=he_normal, **types)
        double = partial(DoubleConv, conv=partial(point, padding="SAME", use_bias=False), norm=norm)

        skips, maps = [], {}
        for level in range(self.depth):
            x = maps[f"stage{level + 1}"] = double(self.width << level, name=f"down{level}")(x)
            skips.append(x)
            x = max_pool(x)
        x = maps["bottom"] = double(self.width << self.depth, name="bottom")(x)
        for i, level in enumerate(reversed(range(self.depth))):
            features, skip = self.width << level, skips.pop()
            if level:
                skip = AttentionGate(features, partial(point, padding="VALID"), name=f"gate{i}")(skip, x)
            up = ConvTranspose(features, (2, 2), (2, 2), kernel_init=he_normal_up, name=f"upsample{i}", **types)
            x = jnp.concatenate(align(skip, up(x)), axis=-1)
            x = maps[f"up{i + 1}"] = double(features, name=f"up{i}")(x)
        return exact(point(self.num_classes, (1, 1), name="head")(x)) if self.num_classes else maps
