"""Residual U-Net: a U-Net of pre-activation residual units, which stride instead of pooling (Zhang et al. 2018).

Zhang, Liu, Wang, "Road Extraction by Deep Residual U-Net", IEEE Geoscience and Remote Sensing Letters 2018, table I.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.layers.norm import norm as normalisation
from models.layers.preactivation import PreActivation
from models.layers.precision import exact
from models.layers.resize import resize
from models.segmentation.unet import he_normal


class ResidualUNet(nn.Module):
    """`depth` units down, each of half the size, a bridge, as many units up over upsampled and skipped maps."""

    conditions: ClassVar[tuple[str, ...]] = ()

    width: int = 64  # channels of the first level; each level down has twice as many
    depth: int = 3
    num_classes: int = 2
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float of any size -> logits [B, H, W, num_classes].

        A level has half the size of the one above, rounded up, and is interpolated to that size. With num_classes=0 a
        dictionary of maps: "stage1" at stride 1, ... on the way down, "bottom" at 2^depth, and "up1", ..., whose last
        the head reads.
        """
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        conv = partial(nn.Conv, kernel_init=he_normal, **types)
        norm = normalisation("batch", train, self.axis_name, **types)
        unit = partial(PreActivation, "basic", conv=conv, norm=norm)

        # The first unit has no normalisation in front, and its shortcut is a projection of the image.
        y = nn.relu(norm(name="stem_norm")(conv(self.width, (3, 3), padding=1, name="stem1")(x)))
        y = conv(self.width, (3, 3), padding=1, name="stem2")(y)
        x = y + conv(self.width, (1, 1), name="stem_shortcut")(x)
        maps, skips = {"stage1": x}, [x]
        for level in range(1, self.depth + 1):
            x = unit(self.width << level, 2, name=f"down{level}")(x, train)
            maps["bottom" if level == self.depth else f"stage{level + 1}"] = x
            skips.append(x)
        skips.pop()
        for i, level in enumerate(reversed(range(self.depth)), 1):
            skip = skips.pop()
            x = jnp.concatenate([resize(x, *skip.shape[1:3]), skip], -1)
            x = maps[f"up{i}"] = unit(self.width << level, 1, name=f"up{i}")(x, train)
        return exact(conv(self.num_classes, (1, 1), name="head")(x)) if self.num_classes else maps
