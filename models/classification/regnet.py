"""RegNet: widths of blocks that a quantised linear function gives (Radosavovic et al. 2020).

Radosavovic, Kosaraju, Girshick, He, Dollár, "Designing Network Design Spaces", CVPR 2020, section 3.3, and table 9 of
its appendix.
"""

import math
from functools import partial
from itertools import groupby
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError
from models.layers.grouped_conv import grouped_conv
from models.layers.norm import norm as normalisation
from models.layers.precision import exact
from models.layers.rounding import divisible
from models.layers.squeeze_excite import SqueezeExcite
from models.layers.variants import resolve
from models.port import Port


def _row(depth, initial, slope, step, group):
    return dict(depth=depth, initial=initial, slope=slope, step=step, group=group)


# Blocks, w₀, w_a, w_m, channels of a group. "Y" has squeeze and excitation.
VARIANTS = {
    "X-400MF": _row(22, 24, 24.48, 2.54, 16),
    "X-800MF": _row(16, 56, 35.73, 2.28, 16),
    "X-1.6GF": _row(18, 80, 34.01, 2.25, 24),
    "X-3.2GF": _row(25, 88, 26.31, 2.25, 48),
    "X-8GF": _row(23, 80, 49.56, 2.88, 120),
    "X-16GF": _row(22, 216, 55.59, 2.1, 128),
    "X-32GF": _row(23, 320, 69.86, 2.0, 168),
    "Y-400MF": _row(16, 48, 27.89, 2.09, 8),
    "Y-800MF": _row(14, 56, 38.84, 2.4, 16),
    "Y-1.6GF": _row(27, 48, 20.71, 2.65, 24),
    "Y-3.2GF": _row(21, 80, 42.63, 2.66, 24),
    "Y-8GF": _row(17, 192, 76.82, 2.19, 56),
    "Y-16GF": _row(18, 200, 106.23, 2.48, 112),
    "Y-32GF": _row(20, 232, 115.89, 2.53, 232),
}


def stages(depth: int, initial: int, slope: float, step: float, group: int) -> list[tuple[int, int, int]]:
    """(channels, blocks, channels of a group) of each stage.

    Block j has width u_j = w₀ + w_a·j (equation 2) rounded to w₀·w_m^s for the integer s nearest to
    log(u_j / w₀) / log w_m (equations 3 and 4) and to a multiple of 8; blocks of a width are a stage. Widths are then
    rounded to multiples of the group.
    """
    exponents = [round(math.log((initial + slope * j) / initial) / math.log(step)) for j in range(depth)]
    widths = [round(initial * step**s / 8) * 8 for s in exponents]
    found = []
    for width, blocks in groupby(widths):
        channels = min(group, width)
        found.append((divisible(width, channels), len(list(blocks)), channels))
    return found


class Block(nn.Module):
    """1×1, grouped 3×3 and 1×1 convolution of one width, around which the input is added. Figure 4."""

    channels: int
    strides: int
    group: int
    squeezes: bool
    conv: Any
    norm: Any
    squeeze: Any  # hidden width -> squeeze and excitation

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H/strides, W/strides, channels]."""
        groups = dict(padding=1, feature_group_count=self.channels // self.group, conv_general_dilated=grouped_conv)
        y = nn.relu(self.norm(name="bn1")(self.conv(self.channels, (1, 1), name="conv1")(x)))
        y = nn.relu(self.norm(name="bn2")(self.conv(self.channels, (3, 3), self.strides, **groups, name="conv2")(y)))
        if self.squeezes:
            y = self.squeeze(round(x.shape[-1] / 4), name="se")(y)  # a quarter of the block's input
        y = self.norm(name="bn3")(self.conv(self.channels, (1, 1), name="conv3")(y))
        if x.shape != y.shape:
            x = self.norm(name="shortcut_bn")(self.conv(self.channels, (1, 1), self.strides, name="shortcut")(x))
        return nn.relu(x + y)


class RegNet(nn.Module):
    """3×3/2 convolution, stages whose first block strides, the mean over space, classifier."""

    conditions: ClassVar[tuple[str, ...]] = ()

    variant: str = "X-400MF"  # a name in VARIANTS; fields that are 0 have the variant's value
    depth: int = 0  # blocks of all stages
    initial: int = 0  # w₀, a multiple of 8
    slope: float = 0.0  # w_a
    step: float = 0.0  # w_m
    group: int = 0  # channels of a group
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float (the paper: 224×224) -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps: "stem" at stride 2, "stage1" at 4 to "stage4" at 32, and "pre_logits",
        the mean over space.
        """
        of = resolve(self, VARIANTS)
        if of.step in (0, 1) or of.initial < 8:
            raise ModelError(f"step={of.step} must not be 1, and initial={of.initial} at least 8")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        he = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        conv = partial(nn.Conv, use_bias=False, kernel_init=he, padding=0, **types)
        norm = normalisation("batch", train, self.axis_name, **types)
        block = partial(
            Block, squeezes=self.variant.startswith("Y"), conv=conv, norm=norm, squeeze=partial(SqueezeExcite, **types)
        )

        x = nn.relu(norm(name="stem_bn")(conv(32, (3, 3), 2, padding=1, name="stem")(x)))
        maps = {"stem": x}
        for stage, (channels, count, group) in enumerate(stages(**vars(of)), 1):
            for i in range(count):
                x = block(channels, 1 if i else 2, group, name=f"stage{stage}_{i}")(x)
            maps[f"stage{stage}"] = x
        x = x.mean((1, 2))
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        return exact(nn.Dense(self.num_classes, kernel_init=nn.initializers.normal(0.01), name="fc", **types)(x))


PORTS = {
    "torchvision": Port(
        names={
            r"^stem/": "stem/0/",
            r"^stem_bn/": "stem/1/",
            r"^stage(\d)_(\d+)/": r"trunk_output/block\1/block\1-\2/",
            r"/conv(\d)/": lambda match: f"/f/{'abc'[int(match[1]) - 1]}/0/",
            r"/bn(\d)/": lambda match: f"/f/{'abc'[int(match[1]) - 1]}/1/",
            r"/shortcut/": "/proj/0/",
            r"/shortcut_bn/": "/proj/1/",
            r"/se/reduce/": "/f/se/fc1/",
            r"/se/expand/": "/f/se/fc2/",
        }
    )
}
