"""Selective kernel: each channel mixes a narrow and a wide window. Li, Wang, Hu, Yang, CVPR 2019, section 3.1."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError
from models.layers.precision import exact

DILATIONS = (1, 2)  # windows that cover 3×3 and 5×5 pixels


class SelectiveKernel(nn.Module):
    """Two 3×3 convolutions, one of them dilated, summed with weights that a softmax gives to each channel.

    Equations 1 to 6: split, fuse, select.
    """

    channels: int
    strides: int
    hidden: int  # d of equation 4
    split: bool  # False: each convolution reads all channels | True: its half of them, as timm's skresnet50
    conv: Any  # constructors of a convolution without bias, of one in groups, and of a BatchNorm
    grouped: Any
    norm: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H/strides, W/strides, channels]."""
        if self.split and x.shape[-1] % len(DILATIONS):
            raise ModelError(f"a selective kernel splits its channels in {len(DILATIONS)}, which {x.shape[-1]} are not")
        parts = jnp.split(x, len(DILATIONS), -1) if self.split else [x] * len(DILATIONS)
        paths = []
        for i, (part, dilation) in enumerate(zip(parts, DILATIONS, strict=True)):
            conv = self.grouped(
                self.channels,
                (3, 3),
                self.strides,
                padding=dilation,
                kernel_dilation=dilation,
                name=f"conv{i}",
            )
            paths.append(nn.relu(self.norm(name=f"bn{i}")(conv(part))))
        y = jnp.stack(paths, -2)  # [B, H', W', paths, channels]

        fused = y.sum(-2).mean((1, 2), keepdims=True)
        fused = nn.relu(self.norm(name="bn")(self.conv(self.hidden, (1, 1), padding=0, name="reduce")(fused)))
        scores = self.conv(y.shape[-2] * self.channels, (1, 1), padding=0, name="select")(fused)
        weights = nn.softmax(exact(scores.reshape(*scores.shape[:3], *y.shape[-2:])), -2).astype(y.dtype)
        return (y * weights).sum(-2)
