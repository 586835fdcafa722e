"""Darknet: the classifiers under YOLO (Redmon & Farhadi 2017).

Darknet-19: Redmon & Farhadi, "YOLO9000: Better, Faster, Stronger", CVPR 2017, table 6. Darknet-53: Redmon & Farhadi,
"YOLOv3: An Incremental Improvement", arXiv 1804.02767, table 1.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError, check_length, choose
from models.layers.norm import norm as normalisation
from models.layers.pool import max_pool
from models.layers.precision import exact
from models.port import Port

# Of the five stages: convolutions of Darknet-19, 3×3 and 1×1 in turn; residual blocks of Darknet-53.
VARIANTS = {"19": (1, 3, 3, 5, 5), "53": (1, 2, 8, 8, 4)}


class Layer(nn.Module):
    """Convolution, BatchNorm, leaky ReLU of slope `slope`."""

    channels: int
    window: int
    slope: float
    conv: Any
    norm: Any
    strides: int = 1

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H/strides, W/strides, channels]."""
        window = (self.window, self.window)
        x = self.conv(self.channels, window, self.strides, padding=self.window // 2, name="conv")(x)
        return nn.leaky_relu(self.norm(name="bn")(x), self.slope)


class Darknet(nn.Module):
    """3×3 convolution, five stages that each halve the map and double the channels, the mean over space, classifier.

    Darknet-19 halves by max pooling, and its classifier is a 1×1 convolution before the mean. Darknet-53
    halves by strides, and adds its input to each 1×1 and 3×3 convolution.
    """

    conditions: ClassVar[tuple[str, ...]] = ()

    variant: str = "53"  # a name in VARIANTS
    width: int = 32  # channels of the first convolution
    depths: tuple[int, ...] = ()  # of each stage, in place of the variant's
    slope: float = 0.1  # of the leaky ReLU below 0
    momentum: float = 0.99  # of BatchNorm; timm: 0.9
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float, at least 32×32 (the paper: 256×256) -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps: "stem" at stride 1, "stage1" at 2 to "stage5" at 32, and "pre_logits",
        the mean over space.
        """
        check_length("depths", self.depths, 5)
        depths = self.depths or choose(VARIANTS, "variant", self.variant)
        if min(x.shape[1:3]) < 32:
            raise ModelError(f"darknet halves an image five times: {x.shape[1]}×{x.shape[2]} is smaller than 32×32")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        he = nn.initializers.variance_scaling(2.0, "fan_in", "uniform")  # that of the authors' code
        conv = partial(nn.Conv, use_bias=False, kernel_init=he, **types)
        norm = normalisation("batch", train, self.axis_name, momentum=self.momentum, **types)
        layer = partial(Layer, slope=self.slope, conv=conv, norm=norm)

        x = layer(self.width, 3, name="stem")(x)
        maps = {"stem": x}
        for stage, count in enumerate(depths, 1):
            channels = self.width * 2**stage
            if self.variant == "19":
                x = max_pool(x)
                for i in range(count):
                    x = layer(channels // (1 + i % 2), 1 if i % 2 else 3, name=f"stage{stage}_{i}")(x)
            else:
                x = layer(channels, 3, strides=2, name=f"stage{stage}_halve")(x)
                for i in range(count):
                    y = layer(channels // 2, 1, name=f"stage{stage}_{i}_conv1")(x)
                    x += layer(channels, 3, name=f"stage{stage}_{i}_conv2")(y)
            maps[f"stage{stage}"] = x
        if not self.num_classes:
            return {**maps, "pre_logits": x.mean((1, 2))}
        classifier = nn.Dense(self.num_classes, kernel_init=he, name="classifier", **types)
        return exact(classifier(x).mean((1, 2)) if self.variant == "19" else classifier(x.mean((1, 2))))


PORTS = {
    "timm": Port(  # Darknet-53
        names={
            r"^stem/": "stem/conv1/",
            r"^classifier/": "head/fc/",
            r"^stage(\d)_halve/": lambda match: f"stages/{int(match[1]) - 1}/conv_down/",
            r"^stage(\d)_(\d+)_": lambda match: f"stages/{int(match[1]) - 1}/blocks/{match[2]}/",
        }
    )
}
