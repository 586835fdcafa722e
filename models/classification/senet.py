"""SENet-154: squeeze and excitation in a ResNeXt of many groups, the winner of ILSVRC 2017 (Hu et al. 2018).

Hu, Shen, Sun, "Squeeze-and-Excitation Networks", CVPR 2018, section 5.1, and its appendix for the network. (SE-ResNet
and SE-ResNeXt are `resnet` with attention="se".)
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError
from models.layers.dropout import Dropout
from models.layers.grouped_conv import grouped_conv
from models.layers.norm import norm as normalisation
from models.layers.pool import max_pool_ceil
from models.layers.precision import exact
from models.layers.squeeze_excite import SqueezeExcite
from models.port import Port


class Block(nn.Module):
    """1×1 to twice the channels, grouped 3×3 to four times, 1×1, squeeze and excitation, sum, ReLU.

    The first 1×1 convolution has half of the channels of that of a ResNeXt. Where the block strides, the shortcut is a
    3×3 convolution.
    """

    channels: int
    strides: int
    groups: int
    conv: Any
    norm: Any
    excite: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H/strides, W/strides, 4 channels]."""
        channels = 4 * self.channels
        y = self.conv(channels // 2, (1, 1), name="conv1")(x)
        y = nn.relu(self.norm(name="bn1")(y))
        y = self.conv(
            channels,
            (3, 3),
            self.strides,
            padding=1,
            feature_group_count=self.groups,
            conv_general_dilated=grouped_conv,
            name="conv2",
        )(y)
        y = nn.relu(self.norm(name="bn2")(y))
        y = self.norm(name="bn3")(self.conv(channels, (1, 1), name="conv3")(y))
        y = self.excite(channels // 16, name="se")(y)
        if x.shape != y.shape:
            side = 3 if self.strides > 1 else 1
            x = self.conv(channels, (side, side), self.strides, padding=side // 2, name="shortcut")(x)
            x = self.norm(name="shortcut_bn")(x)
        return nn.relu(x + y)


class SENet(nn.Module):
    """Three 3×3 convolutions, 3×3/2 max pooling, four stages of blocks, the mean over space, dropout, classifier."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    blocks: tuple[int, int, int, int] = (3, 8, 36, 3)  # of each stage
    width: int = 64  # half of the channels of the first 1×1 convolution; they double from stage to stage
    groups: int = 64  # of the 3×3 convolutions
    dropout_rate: float = 0.2  # before the classifier
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, 3] float (the paper: 224×224) -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps: "stem" at stride 2, "stage1" at 4 to "stage4" at 32, and "pre_logits".
        """
        if self.width * 2 % self.groups:
            raise ModelError(f"groups={self.groups} does not divide the {2 * self.width} channels of the first stage")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        he = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        conv = partial(nn.Conv, use_bias=False, kernel_init=he, **types)
        norm = normalisation("batch", train, self.axis_name, **types)
        excite = partial(SqueezeExcite, **types)

        for i, (channels, strides) in enumerate(((self.width, 2), (self.width, 1), (2 * self.width, 1)), 1):
            x = conv(channels, (3, 3), strides, padding=1, name=f"conv{i}")(x)
            x = nn.relu(norm(name=f"bn{i}")(x))
        maps = {"stem": x}
        # The last window may reach beyond the map, as in Caffe.
        x = max_pool_ceil(x)
        for stage, count in enumerate(self.blocks):
            for i in range(count):
                strides, name = 2 if stage > 0 and i == 0 else 1, f"layer{stage + 1}_{i}"
                x = Block(self.width * 2**stage, strides, self.groups, conv, norm, excite, name=name)(x)
            maps[f"stage{stage + 1}"] = x
        x = Dropout(self.dropout_rate)(x.mean((1, 2)), train)
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        uniform = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
        return exact(nn.Dense(self.num_classes, kernel_init=uniform, name="fc", **types)(x))


PORTS = {
    "timm": Port(
        names={
            r"^(conv|bn)": r"layer0/\1",
            r"^layer(\d)_(\d+)/": r"layer\1/\2/",
            r"/se/reduce/": "/se_module/fc1/",
            r"/se/expand/": "/se_module/fc2/",
            r"/shortcut/": "/downsample/0/",
            r"/shortcut_bn/": "/downsample/1/",
            r"^fc/": "last_linear/",
        }
    )
}
