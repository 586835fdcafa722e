"""DRN: residual networks that dilate where others stride, so that places stay apart (Yu et al. 2017).

Yu, Koltun, Funkhouser, "Dilated Residual Networks", CVPR 2017, sections 3 and 4.

A is a ResNet whose last two stages are dilated. C puts convolutions in place of its max pooling and adds stages without
residuals that remove the grid which dilation leaves ("degridding"); D has single convolutions there.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import check_length, choose
from models.layers.norm import norm as normalisation
from models.layers.precision import exact
from models.port import Port

# The blocks of the stages of the authors' networks, and whether the residual ones are bottlenecks. Those of A are the
# four of a ResNet; of C and D the first two and the last two stages are the new ones.
VARIANTS = {
    "A-50": ((3, 4, 6, 3), True),
    "C-26": ((1, 1, 2, 2, 2, 2, 1, 1), False),
    "C-42": ((1, 1, 3, 4, 6, 3, 1, 1), False),
    "C-58": ((1, 1, 3, 4, 6, 3, 1, 1), True),
    "D-22": ((1, 1, 2, 2, 2, 2, 1, 1), False),
    "D-38": ((1, 1, 3, 4, 6, 3, 1, 1), False),
    "D-54": ((1, 1, 3, 4, 6, 3, 1, 1), True),
    "D-105": ((1, 1, 3, 4, 23, 3, 1, 1), True),
}
# Channels over the width, strides and dilations of the eight stages of C and D.
CHANNELS = (1, 2, 4, 8, 16, 32, 32, 32)
STRIDES = (1, 2, 2, 2, 1, 1, 1, 1)
DILATIONS = (1, 1, 1, 1, 2, 4, 2, 1)


class Block(nn.Module):
    """3×3 and 3×3, or 1×1, 3×3 and 1×1 to four times the channels, around which the input is added."""

    channels: int
    strides: int
    dilation: int
    bottleneck: bool
    residual: bool  # False: nothing is added. Section 4, "removing residual connections"
    conv: Any
    norm: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H/strides, W/strides, channels], or four times as many of a bottleneck."""
        atrous = dict(padding=self.dilation, kernel_dilation=self.dilation)
        if self.bottleneck:
            layers = ((1, 1, {}), (3, self.strides, atrous), (1, 1, {}))
        else:
            layers = ((3, self.strides, atrous), (3, 1, atrous))
        y = x
        for i, (window, strides, options) in enumerate(layers, 1):
            channels = 4 * self.channels if self.bottleneck and i == 3 else self.channels
            y = self.conv(channels, (window, window), strides, name=f"conv{i}", **{"padding": 0, **options})(y)
            y = self.norm(name=f"bn{i}")(y)
            if i < len(layers):
                y = nn.relu(y)
        if not self.residual:
            return nn.relu(y)
        if x.shape != y.shape:
            x = self.conv(y.shape[-1], (1, 1), self.strides, padding=0, name="shortcut")(x)
            x = self.norm(name="shortcut_bn")(x)
        return nn.relu(x + y)


class DRN(nn.Module):
    """Stages down to a stride of 8, dilated ones, the mean over space, classifier."""

    conditions: ClassVar[tuple[str, ...]] = ()

    variant: str = "C-26"  # a name in VARIANTS
    blocks: tuple[int, ...] = ()  # of each stage; (): the variant's
    width: int = 0  # channels of the first convolution; 0: 64 of A, 16 of C and D
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float (the paper: 224×224) -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps: "stem", "stage1", ..., "stage8", at strides 1, 1, 2, 4 and then 8, or
        for A, which has four stages, at 2, 4 and then 8; and "pre_logits", the mean of the last map over space.
        """
        blocks, bottleneck = choose(VARIANTS, "variant", self.variant)
        kind, width = self.variant[0], self.width or (64 if self.variant[0] == "A" else 16)
        check_length("blocks", self.blocks, len(blocks))
        blocks = self.blocks or blocks
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        he = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        conv = partial(nn.Conv, use_bias=False, kernel_init=he, **types)
        norm = normalisation("batch", train, self.axis_name, **types)
        block = partial(Block, conv=conv, norm=norm)

        x = conv(width, (7, 7), 2 if kind == "A" else 1, padding=3, name="conv1")(x)
        x = nn.relu(norm(name="bn1")(x))
        maps = {"stem": x}
        if kind == "A":
            x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
            plan = zip(blocks, (1, 2, 4, 8), (1, 2, 1, 1), (1, 1, 2, 4), strict=True)
        else:
            plan = zip(blocks, CHANNELS, STRIDES, DILATIONS, strict=True)
        for stage, (count, channels, strides, dilation) in enumerate(plan, 1):
            new = kind != "A" and stage in (1, 2, 7, 8)
            for i in range(count):
                step = strides if i == 0 else 1
                name = f"layer{stage}_{i}"
                if new and kind == "D":
                    atrous = dict(padding=dilation, kernel_dilation=dilation)
                    x = conv(width * channels, (3, 3), step, **atrous, name=name)(x)
                    x = nn.relu(norm(name=f"{name}_bn")(x))
                    continue
                own = 1 if kind == "A" and i == 0 else dilation  # the authors' A dilates from the second block on
                residual = not (new and stage > 2)
                x = block(width * channels, step, own, bottleneck and not new, residual, name=name)(x)
            maps[f"stage{stage}"] = x
        x = x.mean((1, 2))
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        return exact(nn.Dense(self.num_classes, kernel_init=he, name="fc", **types)(x))


# fyu/drn. Its classifier is a 1×1 convolution.
_BLOCKS = {
    r"/shortcut/": "/downsample/0/",
    r"/shortcut_bn/": "/downsample/1/",
    r"^layer(\d)_(\d+)/": r"layer\1/\2/",
}
PORTS = {
    "fyu_c": Port(names=_BLOCKS),
    "fyu_d": Port(
        names={
            r"^(conv|bn)1/": lambda match: f"layer0/{('conv', 'bn').index(match[1])}/",
            r"^layer([1278])_(\d+)_bn/": lambda match: f"layer{match[1]}/{3 * int(match[2]) + 1}/",
            r"^layer([1278])_(\d+)/": lambda match: f"layer{match[1]}/{3 * int(match[2])}/",
            **_BLOCKS,
        }
    ),
}
