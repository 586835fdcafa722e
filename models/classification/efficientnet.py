"""EfficientNet: depth, width and resolution scaled together (Tan & Le 2019).

Tan & Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019, table 1, section 4.

Section 3.3 scales depth by 1.2^φ, width by 1.1^φ and resolution by 1.15^φ, which doubles the multiply-adds with each
step of φ since 1.2 · 1.1² · 1.15² ≈ 2. VARIANTS has the rounded factors of the authors' code.
"""

import math
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import choose
from models.layers.dropout import Dropout
from models.layers.inverted_residual import InvertedResidual
from models.layers.norm import norm as normalisation
from models.layers.padding import PADDINGS
from models.layers.precision import exact
from models.layers.rounding import divisible
from models.layers.squeeze_excite import SqueezeExcite
from models.layers.variants import resolve
from models.port import Port

# Table 1: expansion, window, channels, blocks, stride of the first block.
STAGES = (
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)
# Factors of channels and blocks. Resolutions: 224, 240, 260, 300, 380, 456, 528, 600.
# Dropout before the classifier: 0.2, 0.2, 0.3, 0.3, 0.4, 0.4, 0.5, 0.5.
VARIANTS = {
    "B0": dict(width=1.0, depth=1.0),
    "B1": dict(width=1.0, depth=1.1),
    "B2": dict(width=1.1, depth=1.2),
    "B3": dict(width=1.2, depth=1.4),
    "B4": dict(width=1.4, depth=1.8),
    "B5": dict(width=1.6, depth=2.2),
    "B6": dict(width=1.8, depth=2.6),
    "B7": dict(width=2.0, depth=3.1),
}
STEMS = {"imagenet": 2, "cifar": 1}  # stride of the first convolution


def scale(width: float, depth: float) -> tuple[tuple[int, ...], ...]:
    """STAGES with `width` times the channels, in multiples of 8, and `depth` times the blocks, rounded up."""
    return tuple(
        (expansion, window, divisible(width * channels), math.ceil(depth * count), stride)
        for expansion, window, channels, count, stride in STAGES
    )


class EfficientNet(nn.Module):
    """3×3/2 convolution, seven stages of inverted residuals, 1×1 convolution, the mean over space, classifier."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate", "stochastic_depth")

    variant: str = "B0"  # a name in VARIANTS; fields that are 0 have the variant's value
    width: float = 0.0
    depth: float = 0.0
    stem: str = "imagenet"  # "cifar": the first convolution does not stride, which halves the strides of all maps
    padding: str = "same"  # a name in PADDINGS; "symmetric" for the weights of torchvision
    epsilon: float = 1e-3  # of BatchNorm; torchvision's B0 to B4: 1e-5, with a momentum of 0.9
    momentum: float = 0.99
    dropout_rate: float = 0.2  # before the classifier; see VARIANTS
    stochastic_depth: float = 0.2  # block i of N, counted from 0, loses its branch with probability i/N of this
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float (the paper: see VARIANTS) -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps: "stem" and "stage1" at stride 2, "stage2" at 4, "stage3" at 8, "stage4"
        and "stage5" at 16, "stage6" and "stage7" at 32, and "pre_logits", the mean of the last convolution over space.
        """
        of = resolve(self, VARIANTS)
        stem_stride = choose(STEMS, "stem", self.stem)
        stages, padding = scale(of.width, of.depth), choose(PADDINGS, "padding", self.padding)(3)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        he = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        conv = partial(nn.Conv, use_bias=False, kernel_init=he, **types)
        norm = normalisation("batch", train, self.axis_name, epsilon=self.epsilon, momentum=self.momentum, **types)

        x = conv(divisible(32 * of.width), (3, 3), stem_stride, padding=padding, name="stem")(x)
        x = nn.swish(norm(name="stem_bn")(x))
        maps, number, total = {"stem": x}, 0, sum(count for _, _, _, count, _ in stages)
        for stage, (expansion, window, channels, count, stride) in enumerate(stages, 1):
            for i in range(count):
                x = InvertedResidual(
                    expansion * x.shape[-1],
                    channels,
                    stride if i == 0 else 1,
                    conv,
                    norm,
                    window,
                    "swish",
                    self.padding,
                    expands=expansion > 1,
                    # A quarter of the width of the block's input, not of the expanded one.
                    squeeze=partial(SqueezeExcite, max(1, x.shape[-1] // 4), "swish", **types),
                    drop_rate=self.stochastic_depth * number / total,
                    name=f"stage{stage}_{i}",
                )(x, train)
                number += 1
            maps[f"stage{stage}"] = x
        x = nn.swish(norm(name="head_bn")(conv(divisible(1280 * of.width), (1, 1), name="head")(x)))
        x = Dropout(self.dropout_rate)(x.mean((1, 2)), train)
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        uniform = nn.initializers.variance_scaling(1 / 3, "fan_out", "uniform")
        return exact(nn.Dense(self.num_classes, kernel_init=uniform, name="classifier", **types)(x))


PORTS = {
    "torchvision": Port(
        names={
            r"^stem/": "features/0/0/",
            r"^stem_bn/": "features/0/1/",
            r"^head/": "features/8/0/",
            r"^head_bn/": "features/8/1/",
            r"^classifier/": "classifier/1/",
            r"/se/reduce/": "/se/fc1/",
            r"/se/expand/": "/se/fc2/",
            # The blocks of the first stage have no expansion.
            r"^stage1_(\d+)/depthwise/": r"features/1/\1/block/0/0/",
            r"^stage1_(\d+)/depthwise_bn/": r"features/1/\1/block/0/1/",
            r"^stage1_(\d+)/se/": r"features/1/\1/block/1/",
            r"^stage1_(\d+)/project/": r"features/1/\1/block/2/0/",
            r"^stage1_(\d+)/project_bn/": r"features/1/\1/block/2/1/",
            r"^stage(\d)_(\d+)/": r"features/\1/\2/block/",
            r"/expand/": "/0/0/",
            r"/expand_bn/": "/0/1/",
            r"/depthwise/": "/1/0/",
            r"/depthwise_bn/": "/1/1/",
            r"/se/": "/2/",
            r"/project/": "/3/0/",
            r"/project_bn/": "/3/1/",
        },
        fields=dict(padding="symmetric"),
    )
}
