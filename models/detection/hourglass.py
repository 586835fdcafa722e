"""Hourglass: maps go down to a few cells and up again, twice (Newell et al. 2016).

Newell, Yang, Deng, "Stacked Hourglass Networks for Human Pose Estimation", ECCV 2016, in the form of Law & Deng,
"CornerNet", ECCV 2018, section 3.5: strides in place of pooling, and BatchNorm after the convolutions.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError
from models.layers.norm import norm as normalisation


class Residual(nn.Module):
    """Two 3×3 convolutions around which the input is added, projected where its shape changes."""

    channels: int
    conv: Any
    norm: Any
    strides: int = 1

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H/strides, W/strides, channels]."""
        y = nn.relu(self.norm(name="bn1")(self.conv(self.channels, (3, 3), self.strides, padding=1, name="conv1")(x)))
        y = self.norm(name="bn2")(self.conv(self.channels, (3, 3), padding=1, name="conv2")(y))
        if x.shape != y.shape:
            x = self.norm(name="shortcut_bn")(self.conv(self.channels, (1, 1), self.strides, name="shortcut")(x))
        return nn.relu(x + y)


class Glass(nn.Module):
    """Blocks at this size, added to what the glass of half the size makes of it. Figure 3."""

    widths: tuple[int, ...]  # channels at this size and at each smaller one
    blocks: tuple[int, ...]  # blocks at each of them
    block: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H, W, C]."""
        (width, below, *_), (count, count_below, *_) = self.widths, self.blocks
        up = x
        for i in range(count):
            up = self.block(width, name=f"up_{i}")(up)
        y = self.block(below, strides=2, name="down_0")(x)
        for i in range(1, count):
            y = self.block(below, name=f"down_{i}")(y)
        if len(self.widths) > 2:
            y = Glass(self.widths[1:], self.blocks[1:], self.block, name="inner")(y)
        else:
            for i in range(count_below):
                y = self.block(below, name=f"inner_{i}")(y)
        for i in range(count - 1):
            y = self.block(below, name=f"back_{i}")(y)
        y = self.block(width, name=f"back_{count - 1}")(y)
        return up + y.repeat(2, 1).repeat(2, 2)


class Hourglass(nn.Module):
    """A 7×7 convolution and a block that stride to a quarter, then glasses, each fed with the answer of the last."""

    conditions: ClassVar[tuple[str, ...]] = ()

    stacks: int = 2
    widths: tuple[int, ...] = (256, 256, 384, 384, 384, 512)  # channels at a quarter, an eighth, and so on
    blocks: tuple[int, ...] = (2, 2, 2, 2, 2, 4)
    stem: int = 128  # channels of the first convolution
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, 3] float (CornerNet: 511×511) -> maps "stack1", "stack2" at stride 4.

        A quarter of each side must halve as often as there are widths but one.
        """
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        conv = partial(nn.Conv, use_bias=False, **types)
        norm = normalisation("batch", train, self.axis_name, **types)
        block = partial(Residual, conv=conv, norm=norm)
        layer = lambda x, window, name: norm(name=f"{name}_bn")(
            conv(self.widths[0], (window, window), padding=window // 2, name=name)(x)
        )

        x = conv(self.stem, (7, 7), 2, padding=3, name="conv1")(x)
        x = block(self.widths[0], strides=2, name="stem")(nn.relu(norm(name="bn1")(x)))
        if any(side % 2 ** (len(self.widths) - 1) for side in x.shape[1:3]):
            raise ModelError(f"a map of {x.shape[1]}×{x.shape[2]} cannot be halved {len(self.widths) - 1} times")
        maps = {}
        for i in range(1, self.stacks + 1):
            y = Glass(self.widths, self.blocks, block, name=f"glass{i}")(x)
            maps[f"stack{i}"] = y = nn.relu(layer(y, 3, f"after{i}"))
            if i < self.stacks:
                x = nn.relu(layer(x, 1, f"keep{i}") + layer(y, 1, f"add{i}"))
                x = block(self.widths[0], name=f"between{i}")(x)
        return maps
