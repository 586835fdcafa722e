"""MobileNetV3: inverted residuals with squeeze and excitation, found by search (Howard et al. 2019).

Howard et al., "Searching for MobileNetV3", ICCV 2019, tables 1 and 2.
"""

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
from models.port import Port

RE, HS = "relu", "hard_swish"
# Tables 1 and 2, in stages that end where the next row strides: window, expanded channels, channels, whether it has
# squeeze and excitation, activation, stride.
VARIANTS = {
    "large": (
        ((3, 16, 16, False, RE, 1),),
        ((3, 64, 24, False, RE, 2), (3, 72, 24, False, RE, 1)),
        ((5, 72, 40, True, RE, 2), (5, 120, 40, True, RE, 1), (5, 120, 40, True, RE, 1)),
        (
            (3, 240, 80, False, HS, 2),
            (3, 200, 80, False, HS, 1),
            (3, 184, 80, False, HS, 1),
            (3, 184, 80, False, HS, 1),
            (3, 480, 112, True, HS, 1),
            (3, 672, 112, True, HS, 1),
        ),
        ((5, 672, 160, True, HS, 2), (5, 960, 160, True, HS, 1), (5, 960, 160, True, HS, 1)),
    ),
    "small": (
        ((3, 16, 16, True, RE, 2),),
        ((3, 72, 24, False, RE, 2), (3, 88, 24, False, RE, 1)),
        (
            (5, 96, 40, True, HS, 2),
            (5, 240, 40, True, HS, 1),
            (5, 240, 40, True, HS, 1),
            (5, 120, 48, True, HS, 1),
            (5, 144, 48, True, HS, 1),
        ),
        ((5, 288, 96, True, HS, 2), (5, 576, 96, True, HS, 1), (5, 576, 96, True, HS, 1)),
    ),
}
HIDDEN = {"large": 1280, "small": 1024}  # width of the layer before the classifier


class MobileNetV3(nn.Module):
    """3×3/2 convolution, inverted residuals, 1×1 convolution, the mean over space, a hidden layer, classifier."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    variant: str = "large"  # a name in VARIANTS
    width: float = 1.0  # multiplies all channels
    padding: str = "same"  # a name in PADDINGS; "symmetric" for the weights of torchvision
    dropout_rate: float = 0.2  # before the classifier; the paper: 0.8 of keeping
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float (the paper: 224×224) -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps: of "large" "stem" and "stage1" at stride 2, "stage2" at 4 to "stage5"
        at 32; of "small" "stem" at 2, "stage1" at 4 to "stage4" at 32; and "pre_logits", the hidden layer.
        """
        stages = choose(VARIANTS, "variant", self.variant)
        padding = choose(PADDINGS, "padding", self.padding)(3)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        he = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        conv = partial(nn.Conv, use_bias=False, kernel_init=he, **types)
        norm = normalisation("batch", train, self.axis_name, epsilon=1e-3, momentum=0.99, **types)  # section 6.1.1
        dense = partial(nn.Dense, kernel_init=nn.initializers.normal(0.01), **types)
        scaled = lambda channels: divisible(channels * self.width)

        x = nn.hard_swish(norm(name="stem_bn")(conv(scaled(16), (3, 3), 2, padding=padding, name="stem")(x)))
        maps, number = {"stem": x}, 0
        for stage, blocks in enumerate(stages, 1):
            for window, hidden, channels, squeezes, activation, stride in blocks:
                number += 1
                hidden = scaled(hidden)
                squeeze = partial(SqueezeExcite, divisible(hidden // 4), "relu", "hard_sigmoid", **types)
                x = InvertedResidual(
                    hidden,
                    scaled(channels),
                    stride,
                    conv,
                    norm,
                    window,
                    activation,
                    self.padding,
                    expands=hidden != x.shape[-1],
                    squeeze=squeeze if squeezes else None,
                    name=f"block{number}",
                )(x, train)
            maps[f"stage{stage}"] = x
        x = nn.hard_swish(norm(name="head_bn")(conv(6 * x.shape[-1], (1, 1), name="head")(x)))
        x = nn.hard_swish(dense(scaled(HIDDEN[self.variant]), name="hidden")(x.mean((1, 2))))
        x = Dropout(self.dropout_rate)(x, train)
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        return exact(dense(self.num_classes, name="classifier")(x))


def _torchvision(variant: str) -> Port:
    """torchvision numbers the layers of a block; blocks have an expansion but for the first."""
    rows = [row for stage in VARIANTS[variant] for row in stage]
    names = {
        r"^stem/": "features/0/0/",
        r"^stem_bn/": "features/0/1/",
        r"^head/": f"features/{len(rows) + 1}/0/",
        r"^head_bn/": f"features/{len(rows) + 1}/1/",
        r"^hidden/": "classifier/0/",
        r"^classifier/(?!\d)": "classifier/3/",
        r"/se/reduce/": "/se/fc1/",
        r"/se/expand/": "/se/fc2/",
    }
    for number, (_, _, _, squeezes, _, _) in enumerate(rows, 1):
        layers = ["expand", "depthwise", "se", "project"]
        layers = [name for name in layers if (name != "se" or squeezes) and (name != "expand" or number > 1)]
        for i, name in enumerate(layers):
            ours, theirs = f"^block{number}/{name}", f"features/{number}/block/{i}/"
            names |= {f"{ours}/": theirs if name == "se" else f"{theirs}0/", f"{ours}_bn/": f"{theirs}1/"}
    return Port(names=names, fields=dict(padding="symmetric"))


PORTS = {f"torchvision_{variant}": _torchvision(variant) for variant in VARIANTS}
