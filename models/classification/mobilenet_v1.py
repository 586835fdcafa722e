"""MobileNet: a 3×3 convolution of each channel, then a 1×1 over channels (Howard et al. 2017).

Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications", arXiv 1704.04861,
table 1.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import check_length, choose
from models.layers.dropout import Dropout
from models.layers.grouped_conv import grouped_conv
from models.layers.norm import norm as normalisation
from models.layers.padding import PADDINGS
from models.layers.precision import exact
from models.layers.rounding import divisible
from models.port import Port

# Table 1: channels and blocks of the stages; the first block of each strides, but in the first stage.
STAGES = ((64, 1), (128, 2), (256, 2), (512, 6), (1024, 2))
STEMS = {"imagenet": 2, "cifar": 1}  # stride of the first convolution


class Separable(nn.Module):
    """Depthwise 3×3 convolution and 1×1 convolution, each with BatchNorm and ReLU6. Figure 3, right."""

    channels: int
    strides: int
    padding: Any
    conv: Any
    norm: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H/strides, W/strides, channels]."""
        depthwise = dict(
            padding=self.padding, feature_group_count=x.shape[-1], conv_general_dilated=grouped_conv, name="depthwise"
        )
        x = nn.relu6(self.norm(name="depthwise_bn")(self.conv(x.shape[-1], (3, 3), self.strides, **depthwise)(x)))
        return nn.relu6(self.norm(name="pointwise_bn")(self.conv(self.channels, (1, 1), name="pointwise")(x)))


class MobileNetV1(nn.Module):
    """3×3/2 convolution, 13 separable convolutions, the mean over space, classifier."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    width: float = 1.0  # α: multiplies all channels. The paper: 1.0, 0.75, 0.5, 0.25
    depths: tuple[int, ...] = ()  # blocks of each stage, in place of the table's
    stem: str = "imagenet"  # "cifar": the first convolution does not stride, as in kuangliu's pytorch-cifar
    padding: str = "same"  # a name in PADDINGS; "symmetric" for the weights of timm
    epsilon: float = 1e-3  # of BatchNorm, with `momentum` those of the authors' code; timm: 1e-5 and 0.9
    momentum: float = 0.9997
    dropout_rate: float = 0.001  # before the classifier
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float (the paper: 224×224) -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps: "stem" and "stage1" at stride 2, "stage2" at 4 to "stage5" at 32, and
        "pre_logits", the mean over space; "cifar": half of these strides.
        """
        check_length("depths", self.depths, len(STAGES))
        padding, stride = choose(PADDINGS, "padding", self.padding)(3), choose(STEMS, "stem", self.stem)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        he = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        conv = partial(nn.Conv, use_bias=False, kernel_init=he, **types)
        norm = normalisation("batch", train, self.axis_name, epsilon=self.epsilon, momentum=self.momentum, **types)

        x = conv(divisible(32 * self.width), (3, 3), stride, padding=padding, name="stem")(x)
        x = nn.relu6(norm(name="stem_bn")(x))
        maps = {"stem": x}
        for stage, (channels, count) in enumerate(STAGES, 1):
            for i in range(self.depths[stage - 1] if self.depths else count):
                strides = 2 if stage > 1 and i == 0 else 1
                name = f"block{stage}_{i}"
                x = Separable(divisible(channels * self.width), strides, padding, conv, norm, name=name)(x)
            maps[f"stage{stage}"] = x
        x = Dropout(self.dropout_rate)(x.mean((1, 2)), train)
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        return exact(
            nn.Dense(self.num_classes, kernel_init=nn.initializers.normal(0.01), name="classifier", **types)(x)
        )


PORTS = {
    "timm": Port(
        names={
            r"^stem/": "conv_stem/",
            r"^stem_bn/": "bn1/",
            r"^block(\d)_": lambda match: f"blocks/{int(match[1]) - 1}/",
            r"/depthwise/": "/conv_dw/",
            r"/depthwise_bn/": "/bn1/",
            r"/pointwise/": "/conv_pw/",
            r"/pointwise_bn/": "/bn2/",
        },
        fields=dict(padding="symmetric", epsilon=1e-5),
    )
}
