"""Xception: residual stages of depthwise separable convolutions (Chollet 2017).

Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", CVPR 2017, figure 5.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError, choose
from models.layers.dropout import Dropout
from models.layers.grouped_conv import grouped_conv
from models.layers.norm import norm as normalisation
from models.layers.padding import PADDINGS
from models.layers.precision import exact


class Separable(nn.Module):
    """3×3 convolution of each channel, 1×1 over channels, BatchNorm; nothing between the two convolutions."""

    channels: int
    conv: Any
    norm: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H, W, channels]."""
        x = self.conv(
            x.shape[-1],
            (3, 3),
            padding=1,
            feature_group_count=x.shape[-1],
            conv_general_dilated=grouped_conv,
            name="depthwise",
        )(x)
        return self.norm(name="bn")(self.conv(self.channels, (1, 1), padding=0, name="pointwise")(x))


class Xception(nn.Module):
    """Entry flow, middle flow, exit flow, the mean over space, classifier."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    width: float = 1.0  # multiplies all channels
    middle: int = 8  # blocks of the middle flow
    padding: str = "same"  # a name in PADDINGS, of the poolings
    dropout_rate: float = 0.5  # before the classifier: section 4.5.2
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float, at least 7×7 (the paper: 299×299) -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps: "stem" at stride 2, "stage1" at 4, "stage2" at 8, "stage3" (the end of
        the middle flow) at 16, "stage4" at 32, and "pre_logits", the mean over space.
        """
        if min(x.shape[1:3]) < 7:
            raise ModelError(f"xception needs images of 7 pixels a side, not {x.shape[1]}×{x.shape[2]}")
        side = choose(PADDINGS, "padding", self.padding)(3)
        padding = ((side, side),) * 2 if isinstance(side, int) else side
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        he = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
        conv = partial(nn.Conv, use_bias=False, kernel_init=he, **types)
        norm = normalisation("batch", train, self.axis_name, epsilon=1e-3, momentum=0.99, **types)
        scaled = lambda channels: int(channels * self.width)
        separable = lambda channels, name: Separable(scaled(channels), conv, norm, name=name)

        def halve(x, channels, name, relu=True):
            """Two separable convolutions and 3×3/2 max pooling, beside a strided 1×1 convolution."""
            y = x
            for i, width in enumerate(channels, 1):
                y = separable(width, f"{name}_{i}")(nn.relu(y) if relu or i > 1 else y)
            x = conv(scaled(channels[-1]), (1, 1), 2, padding=0, name=f"{name}_shortcut")(x)
            return nn.max_pool(y, (3, 3), (2, 2), padding=padding) + norm(name=f"{name}_shortcut_bn")(x)

        for i, (channels, strides) in enumerate(((32, 2), (64, 1)), 1):
            x = conv(scaled(channels), (3, 3), strides, padding=0, name=f"conv{i}")(x)
            x = nn.relu(norm(name=f"bn{i}")(x))
        maps = {"stem": x}
        x = maps["stage1"] = halve(x, (128, 128), "entry1", relu=False)
        x = maps["stage2"] = halve(x, (256, 256), "entry2")
        x = halve(x, (728, 728), "entry3")
        for block in range(1, self.middle + 1):
            y = x
            for i in range(1, 4):
                y = separable(728, f"middle{block}_{i}")(nn.relu(y))
            x = x + y
        maps["stage3"] = x
        x = halve(x, (728, 1024), "exit")
        x = nn.relu(separable(1536, "last1")(x))
        x = maps["stage4"] = nn.relu(separable(2048, "last2")(x))
        x = Dropout(self.dropout_rate)(x.mean((1, 2)), train)
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        return exact(nn.Dense(self.num_classes, kernel_init=he, name="classifier", **types)(x))
