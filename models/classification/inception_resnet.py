"""Inception-ResNet: branches whose scaled sum is added to their input (Szegedy et al. 2017).

Szegedy, Ioffe, Vanhoucke, Alemi, "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning",
AAAI 2017, figures 10 to 19, with the stem, the last blocks and the scales of the authors' release of version 2.
Version 1 has the scales and the last block of the faces of davidsandberg/facenet. Modules are named as there.
"""

import dataclasses
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError, choose
from models.layers.dropout import Dropout
from models.layers.inception import HALVING, Branches, ConvNormReLU, average, halve
from models.layers.norm import norm as normalisation
from models.layers.precision import exact
from models.port import Port

SMALLEST = 75  # pixels a side that leave one pixel of the last map
SCALES = (0.17, 0.10, 0.20)  # of what a block of each stage adds: section 3.3


@dataclasses.dataclass(frozen=True)
class Variant:
    """Branches of the blocks at 35×35, 17×17 and 8×8 and how many there are; of the reductions between them."""

    counts: tuple[int, int, int]
    first: tuple  # the layer that leads to 35×35
    block35: tuple
    block17: tuple
    block8: tuple
    mixed_6a: tuple
    mixed_7a: tuple
    last: int  # channels of a 1×1 convolution after the last block; 0: there is none


def block17(hidden, middle, channels):
    return ((channels, 1, 1),), ((hidden, 1, 1), (middle, 1, 7), (channels, 7, 1))


def block8(middle, channels):
    return ((192, 1, 1),), ((192, 1, 1), (middle, 1, 3), (channels, 3, 1))


def mixed_6a(hidden, middle, channels):
    """Figure 7."""
    return ((384, 3, 3, *HALVING),), ((hidden, 1, 1), (middle, 3, 3), (channels, 3, 3, *HALVING)), (halve,)


def mixed_7a(middle, channels):
    """Figures 13 and 18."""
    return (
        ((256, 1, 1), (384, 3, 3, *HALVING)),
        ((256, 1, 1), (middle, 3, 3, *HALVING)),
        ((256, 1, 1), (middle, 3, 3), (channels, 3, 3, *HALVING)),
        (halve,),
    )


VARIANTS = {
    "v1": Variant(
        counts=(5, 10, 5),
        first=(((256, 3, 3, *HALVING),),),
        block35=(((32, 1, 1),), ((32, 1, 1), (32, 3, 3)), ((32, 1, 1), (32, 3, 3), (32, 3, 3))),
        block17=block17(128, 128, 128),
        block8=block8(192, 192),
        mixed_6a=mixed_6a(192, 192, 256),
        mixed_7a=mixed_7a(256, 256),
        last=0,
    ),
    "v2": Variant(
        counts=(10, 20, 9),
        first=(
            ((96, 1, 1),),
            ((48, 1, 1), (64, 5, 5)),
            ((64, 1, 1), (96, 3, 3), (96, 3, 3)),
            (average, (64, 1, 1)),
        ),
        block35=(((32, 1, 1),), ((32, 1, 1), (32, 3, 3)), ((32, 1, 1), (48, 3, 3), (64, 3, 3))),
        block17=block17(128, 160, 192),
        block8=block8(224, 256),
        mixed_6a=mixed_6a(256, 256, 384),
        mixed_7a=mixed_7a(288, 320),
        last=1536,
    ),
}


class Residual(nn.Module):
    """x + scale · (1×1 convolution of the branches), with a ReLU except in the last block of the network."""

    branches: tuple
    scale: float
    rectify: bool
    layer: Any
    conv: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H, W, C]."""
        y = Branches(self.branches, self.layer, name="branches")(x)
        y = x + self.scale * self.conv(x.shape[-1], (1, 1), use_bias=True, name="conv2d")(y)
        return nn.relu(y) if self.rectify else y


class InceptionResNet(nn.Module):
    """A stem, residual blocks in three stages with reductions between them, the mean over space, classifier."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    variant: str = "v2"  # a name in VARIANTS
    blocks: tuple[int, ...] = ()  # of the three stages, in place of the variant's; one more without ReLU follows
    embedding: int = 0  # width of a linear layer and its BatchNorm before the classifier; 512 for faces, 0: none
    width: float = 1.0  # of the paper's channels
    dropout_rate: float = 0.2  # before the embedding or the classifier
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, 3] float, at least 75×75 (the paper: 299×299) -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps: "stem" at stride 2, "stage1" at 4, and after the blocks "stage2" at 8,
        "stage3" at 16, "stage4" at 32; and "pre_logits" [B, D].
        """
        variant = choose(VARIANTS, "variant", self.variant)
        if min(x.shape[1:3]) < SMALLEST:
            raise ModelError(f"inception_resnet needs {SMALLEST} pixels a side, not {x.shape[1]}×{x.shape[2]}")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        he = nn.initializers.variance_scaling(2.0, "fan_in", "truncated_normal")  # that of the authors' code
        conv = partial(nn.Conv, use_bias=False, kernel_init=he, **types)
        norm = normalisation("batch", train, self.axis_name, epsilon=1e-3, **types)
        layer = partial(ConvNormReLU, conv, norm, self.width)

        x = layer(32, 3, 3, *HALVING, name="conv2d_1a")(x)
        x = layer(32, 3, 3, 1, "VALID", name="conv2d_2a")(x)
        x = layer(64, 3, 3, name="conv2d_2b")(x)
        maps = {"stem": x}
        x = layer(80, 1, 1, name="conv2d_3b")(halve(x))
        x = layer(192, 3, 3, 1, "VALID", name="conv2d_4a")(x)
        maps["stage1"] = x
        if self.variant == "v2":
            x = halve(x)
        x = Branches(variant.first, layer, name="first")(x)
        stages = (
            ("block35", variant.block35, variant.mixed_6a),
            ("block17", variant.block17, variant.mixed_7a),
            ("block8", variant.block8, ()),
        )
        counts = self.blocks or variant.counts
        for stage, ((name, branches, reduction), scale, count) in enumerate(zip(stages, SCALES, counts, strict=True)):
            for i in range(count):
                x = Residual(branches, scale, True, layer, conv, name=f"{name}_{i}")(x)
            if reduction:
                maps[f"stage{stage + 2}"] = x
                x = Branches(reduction, layer, name=f"mixed_{stage + 6}a")(x)
        x = Residual(variant.block8, 1.0, False, layer, conv, name="block8")(x)
        if variant.last:
            x = layer(variant.last, 1, 1, name="conv2d_7b")(x)
        maps["stage4"] = x
        x = Dropout(self.dropout_rate)(x.mean((1, 2)), train)
        if self.embedding:
            x = norm(name="last_bn")(nn.Dense(self.embedding, use_bias=False, name="last_linear", **types)(x))
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        return exact(nn.Dense(self.num_classes, kernel_init=he, name="logits", **types)(x))


_BRANCHES = {r"/branches/": "/", r"/branch(\d)_(\d)/": r"/branch\1/\2/"}
PORTS = {
    "timm": Port(
        names={
            **_BRANCHES,
            r"^first/": "mixed_5b/",
            r"^block35_(\d+)/": r"repeat/\1/",
            r"^block17_(\d+)/": r"repeat_1/\1/",
            r"^block8_(\d+)/": r"repeat_2/\1/",
            r"^logits/": "classif/",
        }
    ),
    "facenet_pytorch": Port(
        names={
            **_BRANCHES,
            r"^first/branch0/": "conv2d_4b/",
            r"^block35_(\d+)/": r"repeat_1/\1/",
            r"^block17_(\d+)/": r"repeat_2/\1/",
            r"^block8_(\d+)/": r"repeat_3/\1/",
        }
    ),
}
