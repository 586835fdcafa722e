"""Inception-v3: branches whose large convolutions are factored into smaller ones (Szegedy et al. 2016).

Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception Architecture for Computer Vision", CVPR 2016,
table 1 as its authors released it, without the auxiliary classifier. Modules are named as in torchvision.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError, choose
from models.layers.dropout import Dropout
from models.layers.norm import norm as normalisation
from models.layers.precision import exact
from models.port import Port

SMALLEST = 75  # pixels a side that leave one pixel of the last map

halve = partial(nn.max_pool, window_shape=(3, 3), strides=(2, 2))
largest = partial(nn.max_pool, window_shape=(3, 3), padding="SAME")
average = partial(nn.avg_pool, window_shape=(3, 3), padding="SAME")

# The pool that a block projects, and that of the last block. "fid" is the network of TensorFlow's release of
# 2015-12-05, with 1008 classes, whose features Heusel et al. 2017 compare; its last pool is likely a slip.
VARIANTS = {
    "torchvision": (average, average),
    "fid": (partial(average, count_include_pad=False), largest),
}


def figure5(pool):
    return {
        "branch1x1": ((64, 1, 1),),
        "branch5x5": ((48, 1, 1), (64, 5, 5)),
        "branch3x3dbl": ((64, 1, 1), (96, 3, 3), (96, 3, 3)),
        "branch_pool": ((pool, 1, 1),),
    }


def figure6(c):
    return {
        "branch1x1": ((192, 1, 1),),
        "branch7x7": ((c, 1, 1), (c, 1, 7), (192, 7, 1)),
        "branch7x7dbl": ((c, 1, 1), (c, 7, 1), (c, 1, 7), (c, 7, 1), (192, 1, 7)),
        "branch_pool": ((192, 1, 1),),
    }


FORK = ((384, 1, 3), (384, 3, 1))
FIGURE7 = {
    "branch1x1": ((320, 1, 1),),
    "branch3x3": ((384, 1, 1), FORK),
    "branch3x3dbl": ((448, 1, 1), (384, 3, 3), FORK),
    "branch_pool": ((192, 1, 1),),
}

HALVING = (2, "VALID")

# Blocks after which a feature map is returned, the last at its size. torchvision's auxiliary classifier reads stage3.
STAGES = {"Mixed_5d": "stage2", "Mixed_6e": "stage3", "Mixed_7c": "stage4"}

# Block -> branch -> layers: channels, height and width of the window, stride and padding where they are not 1 and
# "SAME". The two of a fork are concatenated. A pool that is not projected halves the map too: figure 10.
BLOCKS = {
    "Mixed_5b": figure5(32),  # 35×35
    "Mixed_5c": figure5(64),
    "Mixed_5d": figure5(64),
    "Mixed_6a": {
        "branch3x3": ((384, 3, 3, *HALVING),),
        "branch3x3dbl": ((64, 1, 1), (96, 3, 3), (96, 3, 3, *HALVING)),
        "branch_pool": (),
    },
    "Mixed_6b": figure6(128),  # 17×17
    "Mixed_6c": figure6(160),
    "Mixed_6d": figure6(160),
    "Mixed_6e": figure6(192),
    "Mixed_7a": {
        "branch3x3": ((192, 1, 1), (320, 3, 3, *HALVING)),
        "branch7x7x3": ((192, 1, 1), (192, 1, 7), (192, 7, 1), (192, 3, 3, *HALVING)),
        "branch_pool": (),
    },
    "Mixed_7b": FIGURE7,  # 8×8
    "Mixed_7c": FIGURE7,
}


class Layer(nn.Module):
    """Convolution, normalisation, ReLU."""

    conv: Any
    norm: Any
    channels: int
    height: int
    width: int
    strides: int = 1
    padding: str = "SAME"

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H', W', channels]."""
        window = (self.height, self.width)
        x = self.conv(self.channels, window, self.strides, padding=self.padding, name="conv")(x)
        return nn.relu(self.norm(name="bn")(x))


class Mixed(nn.Module):
    """The outputs of all branches for the same map, concatenated."""

    branches: Any  # as in BLOCKS
    pool: Any
    layer: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H', W', C']."""
        outputs = []
        for branch, layers in self.branches.items():
            y = self.pool(x) if branch == "branch_pool" else x
            for i, layer in enumerate(layers, 1):
                name = f"{branch}_{i}" if len(layers) > 1 else branch
                sides = {"a": layer[0], "b": layer[1]} if layer == FORK else {"": layer}
                y = jnp.concatenate([self.layer(*side, name=name + letter)(y) for letter, side in sides.items()], -1)
            outputs.append(y)
        return jnp.concatenate(outputs, -1)


class InceptionV3(nn.Module):
    """A stem of five convolutions, eleven blocks, the mean over space, classifier."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    variant: str = "torchvision"  # a name in VARIANTS
    dropout_rate: float = 0.5  # before the classifier
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, 3] float, at least 75×75 (the paper: 299×299) -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps: "stem" at stride 2, "stage1" at 4, "stage2" at 8, "stage3" at 16,
        "stage4" at 32, and "pre_logits" [B, 2048].
        """
        pool, last_pool = choose(VARIANTS, "variant", self.variant)
        if min(x.shape[1:3]) < SMALLEST:
            size = "×".join(map(str, x.shape[1:3]))
            raise ModelError(f"inception_v3 needs images of {SMALLEST} pixels a side, not {size}")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype, kernel_init=nn.initializers.normal(0.1))
        norm = normalisation("batch", train, self.axis_name, self.dtype, self.param_dtype, epsilon=1e-3)
        layer = partial(Layer, partial(nn.Conv, use_bias=False, **types), norm)

        x = layer(32, 3, 3, *HALVING, name="Conv2d_1a_3x3")(x)
        x = layer(32, 3, 3, padding="VALID", name="Conv2d_2a_3x3")(x)
        x = layer(64, 3, 3, name="Conv2d_2b_3x3")(x)
        maps = {"stem": x}
        x = layer(80, 1, 1, name="Conv2d_3b_1x1")(halve(x))
        x = layer(192, 3, 3, padding="VALID", name="Conv2d_4a_3x3")(x)
        maps["stage1"] = x
        x = halve(x)
        for name, branches in BLOCKS.items():
            around = last_pool if name == "Mixed_7c" else pool
            x = Mixed(branches, around if branches["branch_pool"] else halve, layer, name=name)(x)
            if name in STAGES:
                maps[STAGES[name]] = x
        x = Dropout(self.dropout_rate)(x.mean((1, 2)), train)
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        x = nn.Dense(self.num_classes, name="fc", **types)(x)
        return exact(x)


PORTS = {
    "torchvision": Port(ignored=(r"^AuxLogits\.",), fields=dict(variant="torchvision")),
    "pytorch_fid": Port(fields=dict(variant="fid")),
}
