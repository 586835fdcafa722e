"""Darknet: the backbones of YOLO, 3×3 and 1×1 convolutions in turn (Redmon & Farhadi 2017).

Darknet-19 is that of Redmon & Farhadi, "YOLO9000: Better, Faster, Stronger", CVPR 2017, table 6; Darknet-53, with
residual connections, that of "YOLOv3: An Incremental Improvement", 2018, table 1.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError, choose
from models.layers.norm import norm as normalisation
from models.layers.pool import max_pool
from models.layers.precision import exact
from models.port import Port

# Darknet-19: convolutions of each stage, 3×3 and 1×1 in turn. Darknet-53: residual blocks of each stage.
VARIANTS = {19: (1, 1, 3, 3, 5, 5), 53: (1, 2, 8, 8, 4)}


class Layer(nn.Module):
    """Convolution, BatchNorm, ReLU that lets a tenth of what is negative through."""

    channels: int
    window: int
    conv: Any
    norm: Any
    strides: int = 1

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H/strides, W/strides, channels]."""
        sides = (self.window, self.window)
        x = self.conv(self.channels, sides, self.strides, padding=self.window // 2, name="conv")(x)
        return nn.leaky_relu(self.norm(name="bn")(x), 0.1)


class Darknet(nn.Module):
    """32 channels in the first convolution and twice as many after each halving; the mean over space; classifier."""

    conditions: ClassVar[tuple[str, ...]] = ()

    depth: int = 53  # a key of VARIANTS
    blocks: tuple[int, ...] = ()  # of each stage; (): those of the depth
    width: int = 32  # channels of the first convolution
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, 3] float, at least 32×32 (the papers: 224×224 and 256×256) -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps: "stem" at stride 1, "stage1" at 2 to "stage5" at 32, and "pre_logits".
        YOLO reads stages 3 to 5. The classifier of Darknet-19 is a 1×1 convolution before the mean over space.
        """
        counts = self.blocks or choose(VARIANTS, "depth", self.depth)
        if min(x.shape[1:3]) < 32:
            raise ModelError(f"darknet halves an image five times: {x.shape[1]}×{x.shape[2]} is smaller than 32×32")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        he = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
        norm = normalisation("batch", train, self.axis_name, **types)
        layer = partial(Layer, conv=partial(nn.Conv, use_bias=False, kernel_init=he, **types), norm=norm)

        if self.depth == 19:
            maps = {}
            for stage, count in enumerate(counts):
                x = max_pool(x) if stage else x
                for i in range(count):
                    channels = self.width * 2**stage // (1 + i % 2)  # 1×1 layers halve the channels
                    x = layer(channels, 1 if i % 2 else 3, name=f"stage{stage}_{i}")(x)
                maps["stem" if stage == 0 else f"stage{stage}"] = x
        else:
            x = layer(self.width, 3, name="stem")(x)
            maps = {"stem": x}
            for stage, count in enumerate(counts, 1):
                channels = self.width * 2**stage
                x = layer(channels, 3, strides=2, name=f"stage{stage}_down")(x)
                for i in range(count):
                    y = layer(channels // 2, 1, name=f"stage{stage}_{i}_reduce")(x)
                    x = x + layer(channels, 3, name=f"stage{stage}_{i}_expand")(y)
                maps[f"stage{stage}"] = x
        if not self.num_classes:
            return {**maps, "pre_logits": x.mean((1, 2))}
        if self.depth == 19:
            return exact(nn.Conv(self.num_classes, (1, 1), kernel_init=he, name="fc", **types)(x).mean((1, 2)))
        return exact(nn.Dense(self.num_classes, kernel_init=he, name="fc", **types)(x.mean((1, 2))))


PORTS = {
    "timm_darknet53": Port(
        names={
            r"^stem/": "stem/conv1/",
            r"^stage(\d)_": lambda match: f"stages/{int(match[1]) - 1}/",
            r"/(\d+)_reduce/": r"/blocks/\1/conv1/",
            r"/(\d+)_expand/": r"/blocks/\1/conv2/",
            r"/down/": "/conv_down/",
            r"^fc/": "head/fc/",
        }
    )
}
