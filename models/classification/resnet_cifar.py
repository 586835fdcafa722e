"""ResNet for CIFAR: 6n+2 layers that learn a correction to the identity (He et al. 2016).

He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2. With `reduction`, SE-ResNet
of Hu, Shen, Sun, "Squeeze-and-Excitation Networks", CVPR 2018.

Depths 20, 32, 44, 56, 110, 1202 are the paper's; any 6n+2 works.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError, choose
from models.layers.dropout import Dropout
from models.layers.norm import norm as normalisation
from models.layers.precision import exact
from models.layers.squeeze_excite import SqueezeExcite
from models.port import Port


def pad_channels(x, channels: int, strides: int, conv, norm):
    """Option A: every second pixel, and zeros for the new channels, half on either side. No parameters."""
    new = channels - x.shape[-1]
    return jnp.pad(x[:, ::strides, ::strides], ((0, 0), (0, 0), (0, 0), (new // 2, new - new // 2)))


def project(x, channels: int, strides: int, conv, norm):
    """Option B: a strided 1×1 convolution and its BatchNorm."""
    x = conv(channels, (1, 1), strides, padding=0, name="shortcut")(x)
    return norm(name="shortcut_bn")(x)


SHORTCUTS = {"A": pad_channels, "B": project}


class Block(nn.Module):
    """y = relu(F(x) + shortcut(x)), where F is two 3×3 convolutions. Figure 2."""

    channels: int
    strides: int
    shortcut: str
    conv: Any
    norm: Any
    excite: Any = None  # squeeze and excitation of what the block adds

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H/strides, W/strides, channels]."""
        y = self.conv(self.channels, (3, 3), self.strides, name="conv1")(x)
        y = nn.relu(self.norm(name="bn1")(y))
        y = self.conv(self.channels, (3, 3), name="conv2")(y)
        y = self.norm(name="bn2")(y)
        if self.excite:
            y = self.excite(name="se")(y)
        if x.shape != y.shape:
            x = choose(SHORTCUTS, "shortcut", self.shortcut)(x, self.channels, self.strides, self.conv, self.norm)
        return nn.relu(x + y)


class CifarResNet(nn.Module):
    """A 3×3 convolution, three stages of n blocks (16, 32, 64 channels), the mean over space, classifier."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    depth: int = 20
    shortcut: str = "A"  # "A": identity with zero padding, as in the paper's CIFAR results; "B": projection
    reduction: int = 0  # of squeeze and excitation, whose hidden width is channels / reduction; 0: there is none
    dropout_rate: float = 0.0  # before the classifier; the paper has none
    num_classes: int = 10
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float (the paper: 32×32×3) -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps: "stem" and "stage1" at stride 1, "stage2" at 2, "stage3" at 4, and
        "pre_logits" [B, 64].
        """
        if self.depth < 8 or (self.depth - 2) % 6:
            raise ModelError(f"depth={self.depth} is not 6n+2, such as 20, 32, 44, 56 or 110")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        he = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
        # "SAME" would shift the picture by a pixel where the stride is 2.
        conv = partial(nn.Conv, use_bias=False, padding=1, kernel_init=he, **types)
        norm = normalisation("batch", train, self.axis_name, **types)

        x = nn.relu(norm(name="bn1")(conv(16, (3, 3), name="conv1")(x)))
        maps = {"stem": x}
        for stage, channels in enumerate((16, 32, 64)):
            for i in range((self.depth - 2) // 6):
                strides = 2 if stage > 0 and i == 0 else 1
                excite = partial(SqueezeExcite, channels // self.reduction, **types) if self.reduction else None
                x = Block(channels, strides, self.shortcut, conv, norm, excite, name=f"layer{stage + 1}_{i}")(x)
            maps[f"stage{stage + 1}"] = x
        x = x.mean((1, 2))
        x = Dropout(self.dropout_rate)(x, train)
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        return exact(nn.Dense(self.num_classes, kernel_init=he, name="linear", **types)(x))


# akamaster: https://github.com/akamaster/pytorch_resnet_cifar10
PORTS = {
    "akamaster": Port(
        names={r"/shortcut/": "/shortcut/0/", r"/shortcut_bn/": "/shortcut/1/", r"^layer(\d)_(\d+)/": r"layer\1/\2/"}
    )
}
