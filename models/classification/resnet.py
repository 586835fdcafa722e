"""ResNet for ImageNet: blocks that learn a correction to their input (He et al. 2016).

He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, table 1.

"v1" is the paper's bottleneck, which strides in its first 1×1 convolution (ResNet-50: 3.86 G multiply-adds);
"v1.5" strides in the 3×3 (4.09 G), as torchvision and most published accuracies do.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import choose
from models.layers.norm import norm as normalisation
from models.layers.precision import exact
from models.port import Port

# Blocks per stage. Up to 34 layers a block is two 3×3 convolutions, from 50 on a bottleneck.
DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
VERSIONS = {"v1.5": False, "v1": True}  # does the bottleneck stride in its first convolution?


def shortcut(x, y, strides, conv, norm):
    """The identity, or where the shape changes a strided 1×1 projection to that of y (option B)."""
    if x.shape == y.shape:
        return x
    return norm(name="shortcut_bn")(conv(y.shape[-1], (1, 1), strides, padding=0, name="shortcut")(x))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions around which the input is added. Figure 5, left."""

    channels: int
    strides: int
    conv: Any
    norm: Any
    last_scale: Any  # initial scale of the branch's last BatchNorm

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H/strides, W/strides, channels]."""
        y = self.conv(self.channels, (3, 3), self.strides, padding=1, name="conv1")(x)
        y = nn.relu(self.norm(name="bn1")(y))
        y = self.conv(self.channels, (3, 3), padding=1, name="conv2")(y)
        y = self.norm(scale_init=self.last_scale, name="bn2")(y)
        return nn.relu(shortcut(x, y, self.strides, self.conv, self.norm) + y)


class Bottleneck(nn.Module):
    """1×1 down to `channels`, 3×3, 1×1 up to four times as many. Figure 5, right."""

    channels: int
    strides: int
    conv: Any
    norm: Any
    last_scale: Any
    stride_first: bool

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H/strides, W/strides, 4 channels]."""
        first, second = (self.strides, 1) if self.stride_first else (1, self.strides)
        y = self.conv(self.channels, (1, 1), first, padding=0, name="conv1")(x)
        y = nn.relu(self.norm(name="bn1")(y))
        y = self.conv(self.channels, (3, 3), second, padding=1, name="conv2")(y)
        y = nn.relu(self.norm(name="bn2")(y))
        y = self.conv(4 * self.channels, (1, 1), padding=0, name="conv3")(y)
        y = self.norm(scale_init=self.last_scale, name="bn3")(y)
        return nn.relu(shortcut(x, y, self.strides, self.conv, self.norm) + y)


class ResNet(nn.Module):
    """7×7/2 convolution, 3×3/2 max pooling, four stages of blocks, the mean over space, classifier."""

    conditions: ClassVar[tuple[str, ...]] = ()

    depth: int = 50  # a key of DEPTHS
    version: str = "v1.5"  # "v1.5" | "v1"; the same network for depths 18 and 34
    zero_init_residual: bool = False  # every block starts as the identity. Goyal et al. 2017, section 5.1
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, 3] float (the paper: 224×224) -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps: "stem" at stride 2, before the pooling, "stage1" at 4 to "stage4" at
        32, and "pre_logits", the mean over space.
        """
        blocks = choose(DEPTHS, "depth", self.depth)
        stride_first = choose(VERSIONS, "version", self.version)
        # Paddings are explicit because "SAME" pads an even picture on one side only where the stride is 2.
        conv = partial(
            nn.Conv,
            use_bias=False,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            kernel_init=nn.initializers.variance_scaling(2.0, "fan_out", "normal"),
        )
        norm = normalisation("batch", train, self.axis_name, self.dtype, self.param_dtype)
        last_scale = nn.initializers.zeros if self.zero_init_residual else nn.initializers.ones
        block = BasicBlock if self.depth < 50 else partial(Bottleneck, stride_first=stride_first)
        block = partial(block, conv=conv, norm=norm, last_scale=last_scale)

        x = nn.relu(norm(name="bn1")(conv(64, (7, 7), 2, padding=3, name="conv1")(x)))
        maps = {"stem": x}
        x = nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))  # linen pads with -inf
        for stage, count in enumerate(blocks):
            for i in range(count):
                strides = 2 if stage > 0 and i == 0 else 1
                x = block(64 * 2**stage, strides, name=f"layer{stage + 1}_{i}")(x)
            maps[f"stage{stage + 1}"] = x
        x = x.mean((1, 2))
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        x = nn.Dense(
            self.num_classes,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            kernel_init=nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform"),
            name="fc",
        )(x)
        return exact(x)


PORTS = {
    "torchvision": Port(
        names={
            r"/shortcut/": "/downsample/0/",
            r"/shortcut_bn/": "/downsample/1/",
            r"^layer(\d)_(\d+)/": r"layer\1/\2/",
        }
    )
}
