"""MobileNetV2: inverted residuals with linear bottlenecks (Sandler et al. 2018).

Sandler, Howard, Zhu, Zhmoginov, Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, table 2.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import check_length, choose
from models.layers.dropout import Dropout
from models.layers.inverted_residual import InvertedResidual
from models.layers.norm import norm as normalisation
from models.layers.padding import PADDINGS
from models.layers.precision import exact
from models.layers.rounding import divisible
from models.port import Port

# Table 2: expansion t, channels c, blocks n, stride s of the first of them.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
# Strides of the first convolution and of the second stage; whether every block has an expansion, and a projected
# shortcut where widths differ.
STEMS = {"imagenet": (2, 2, False), "cifar": (1, 1, True)}


class MobileNetV2(nn.Module):
    """3×3/2 convolution, 17 inverted residuals, 1×1 convolution, the mean over space, classifier."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    width: float = 1.0  # multiplies all channels but, below 1, those of the last convolution
    depths: tuple[int, ...] = ()  # blocks of each stage, in place of the table's
    stem: str = "imagenet"  # "cifar": the network of kuangliu's pytorch-cifar, for images of 32×32
    padding: str = "same"  # a name in PADDINGS; "symmetric" for the weights of torchvision
    epsilon: float = 1e-3  # of BatchNorm, with `momentum` those of the authors' code; torchvision: 1e-5 and 0.9
    momentum: float = 0.997
    dropout_rate: float = 0.2  # before the classifier
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float (the paper: 224×224) -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps: "stem" and "stage1" at stride 2, "stage2" at 4, "stage3" at 8, "stage4"
        and "stage5" at 16, "stage6" and "stage7" at 32, and "pre_logits", the mean of the last convolution over space.
        "cifar": "stem" and "stage1" at 1, and the others at a quarter of these strides.
        """
        check_length("depths", self.depths, len(STAGES))
        padding = choose(PADDINGS, "padding", self.padding)(3)
        stem_stride, second_stride, full = choose(STEMS, "stem", self.stem)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        he = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        conv = partial(nn.Conv, use_bias=False, kernel_init=he, **types)
        norm = normalisation("batch", train, self.axis_name, epsilon=self.epsilon, momentum=self.momentum, **types)
        block = partial(InvertedResidual, conv=conv, norm=norm, padding=self.padding, projects=full)

        x = conv(divisible(32 * self.width), (3, 3), stem_stride, padding=padding, name="stem")(x)
        x = nn.relu6(norm(name="stem_bn")(x))
        maps, number = {"stem": x}, 0
        for stage, (expansion, channels, count, stride) in enumerate(STAGES, 1):
            stride = second_stride if stage == 2 else stride
            for i in range(self.depths[stage - 1] if self.depths else count):
                number += 1
                x = block(
                    expansion * x.shape[-1],
                    divisible(channels * self.width),
                    stride if i == 0 else 1,
                    expands=full or expansion > 1,
                    name=f"block{number}",
                )(x, train)
            maps[f"stage{stage}"] = x
        x = nn.relu6(norm(name="head_bn")(conv(divisible(1280 * max(1.0, self.width)), (1, 1), name="head")(x)))
        x = Dropout(self.dropout_rate)(x.mean((1, 2)), train)
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        return exact(
            nn.Dense(self.num_classes, kernel_init=nn.initializers.normal(0.01), name="classifier", **types)(x)
        )


def torchvision(blocks: int) -> Port:
    """The names of torchvision's network of this many blocks. It has no numbers for layers that a block lacks."""
    return Port(
        names={
            r"^stem/": "features/0/0/",
            r"^stem_bn/": "features/0/1/",
            r"^head/": f"features/{blocks + 1}/0/",
            r"^head_bn/": f"features/{blocks + 1}/1/",
            r"^classifier/": "classifier/1/",
            r"^block1/depthwise/": "features/1/conv/0/0/",
            r"^block1/depthwise_bn/": "features/1/conv/0/1/",
            r"^block1/project/": "features/1/conv/1/",
            r"^block1/project_bn/": "features/1/conv/2/",
            r"^block(\d+)/": r"features/\1/conv/",
            r"/expand/": "/0/0/",
            r"/expand_bn/": "/0/1/",
            r"/depthwise/": "/1/0/",
            r"/depthwise_bn/": "/1/1/",
            r"/project/": "/2/",
            r"/project_bn/": "/3/",
        },
        fields=dict(padding="symmetric", epsilon=1e-5),
    )


PORTS = {"torchvision": torchvision(sum(count for _, _, count, _ in STAGES))}
