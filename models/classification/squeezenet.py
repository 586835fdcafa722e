"""SqueezeNet: 1×1 convolutions that squeeze before those that expand (Iandola et al. 2016).

Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size", arXiv 1602.07360,
table 1.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError, choose
from models.layers.dropout import Dropout
from models.layers.pool import max_pool_ceil
from models.layers.precision import exact
from models.port import BlueFirst, Port

# Channels and window of the first convolution, and the squeezed channels of the fire modules between poolings; each
# expands to four times as many of both kinds. "1.1" is the authors' later network of 2.4 times fewer multiply-adds.
VARIANTS = {
    "1.0": ((96, 7), ((16, 16, 32), (32, 48, 48, 64), (64,))),
    "1.1": ((64, 3), ((16, 16), (32, 32), (48, 48, 64, 64))),
}


class Fire(nn.Module):
    """1×1 convolution to `squeezed` channels, then 1×1 and 3×3 side by side, each to four times as many. Figure 1."""

    squeezed: int
    conv: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H, W, 8 squeezed]."""
        x = nn.relu(self.conv(self.squeezed, (1, 1), name="squeeze")(x))
        one = self.conv(4 * self.squeezed, (1, 1), name="expand1x1")(x)
        three = self.conv(4 * self.squeezed, (3, 3), padding=1, name="expand3x3")(x)
        return nn.relu(jnp.concatenate([one, three], -1))


class SqueezeNet(nn.Module):
    """A convolution, eight fire modules with 3×3/2 max pooling between, a 1×1 convolution to classes, the mean."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    variant: str = "1.0"  # a name in VARIANTS
    width: float = 1.0  # multiplies all channels
    dropout_rate: float = 0.5  # after the last fire module
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float, at least 21×21 (the paper: 224×224) -> logits [B, num_classes], not negative.

        With num_classes=0 a dictionary of maps before each pooling, "stem" at stride 2, "stage1" at 4 to "stage3" at
        16, and "pre_logits", the mean of the last over space.
        """
        (channels, window), stages = choose(VARIANTS, "variant", self.variant)
        if min(x.shape[1:3]) < 21:
            raise ModelError(f"squeezenet needs images of 21 pixels a side, not {x.shape[1]}×{x.shape[2]}")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        he = nn.initializers.variance_scaling(2.0, "fan_in", "uniform")
        conv = partial(nn.Conv, kernel_init=he, padding=0, **types)

        x = nn.relu(conv(int(channels * self.width), (window, window), 2, name="stem")(x))
        maps, number = {"stem": x}, 0
        for stage, fires in enumerate(stages, 1):
            x = max_pool_ceil(x)
            for squeezed in fires:
                number += 1
                x = Fire(int(squeezed * self.width), conv, name=f"fire{number}")(x)
            maps[f"stage{stage}"] = x
        if not self.num_classes:
            return {**maps, "pre_logits": x.mean((1, 2))}
        x = Dropout(self.dropout_rate)(x, train)
        x = nn.relu(conv(self.num_classes, (1, 1), kernel_init=nn.initializers.normal(0.01), name="classifier")(x))
        return exact(x.mean((1, 2)))


def _torchvision(variant: str) -> Port:
    """torchvision numbers convolutions, ReLUs, poolings and fire modules in one list."""
    _, stages = VARIANTS[variant]
    names, number, place = {r"^stem/": "features/0/", r"^classifier/": "classifier/1/"}, 0, 2
    for fires in stages:
        place += 1  # the pooling
        for _ in fires:
            number += 1
            names[rf"^fire{number}/"] = f"features/{place}/"
            place += 1
    return Port(names=names)


PORTS = {
    **{f"torchvision_{variant.replace('.', '_')}": _torchvision(variant) for variant in VARIANTS},
    # The authors' model for Caffe, both variants: conv1, fire2 to fire9, conv10, and images with blue first.
    "caffe": BlueFirst(
        names={
            r"^stem/": "conv1/",
            r"^fire(\d)/": lambda match: f"fire{int(match[1]) + 1}/",
            "/squeeze/": "/squeeze1x1/",
            r"^classifier/": "conv10/",
        },
        first="^stem/kernel$",
    ),
}
