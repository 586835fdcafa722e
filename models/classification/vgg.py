"""VGG: depth from 3×3 convolutions alone (Simonyan & Zisserman 2015).

Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015, table 1.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError, choose
from models.layers.dropout import Dropout
from models.layers.local_response import local_response
from models.layers.norm import norm as normalisation
from models.layers.pool import adaptive_avg_pool, max_pool
from models.layers.precision import exact
from models.layers.sliding import SlidingDense
from models.port import BlueFirst, Port

# Table 1: the windows of the convolutions of each stage; "lrn" is a local response normalisation.
VARIANTS = {
    "A": ((3,), (3,), (3, 3), (3, 3), (3, 3)),
    "A-LRN": ((3, "lrn"), (3,), (3, 3), (3, 3), (3, 3)),
    "B": ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3)),
    "C": ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1)),
    "D": ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
    "E": ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3)),
}
HEADS = ("adaptive", "dense")


class VGG(nn.Module):
    """Five stages of convolutions, each followed by 2×2 max pooling, then three fully connected layers."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    variant: str = "D"  # a name in VARIANTS; D has 16 layers, E has 19
    norm: str = "none"  # "none": the paper's | "batch": before each ReLU, as torchvision's *_bn
    width: int = 64  # channels of the first stage; they double up to eight times as many
    hidden: tuple[int, ...] = (4096, 4096)  # widths of the fully connected layers; (): the classifier alone
    grid: int = 7  # side of the map that the first fully connected layer reads
    # "adaptive": the last map is averaged to the grid | "dense": the layers slide over it, and the mean of their scores
    # is the answer (section 3.2, where one network is applied to images of several sizes).
    head: str = "adaptive"
    dropout_rate: float = 0.5  # after each hidden layer
    # A pooling that would exceed this stride has windows of 3×3 and does not stride, and what follows is dilated: 8 is
    # Chen et al. 2015, section 3.1.
    output_stride: int = 32
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, 3] float, at least 32×32 (the paper: 224×224) -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps before each pooling, "stage1" at stride 1 to "stage5" at 16, or at most
        `output_stride`, and "pre_logits" [B, D].
        """
        stages = choose(VARIANTS, "variant", self.variant)
        if min(x.shape[1:3]) < 2 ** len(stages):
            raise ModelError(f"vgg halves an image five times: {x.shape[1]}×{x.shape[2]} is smaller than 32×32")
        choose(dict.fromkeys(HEADS), "head", self.head)
        if self.output_stride not in (1, 2, 4, 8, 16, 32):
            raise ModelError(f"output_stride={self.output_stride} is not a power of 2 up to 32")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        he = nn.initializers.variance_scaling(2.0, "fan_out", "normal")  # the paper starts from a trained variant A
        norm = normalisation(self.norm, train, self.axis_name, **types)

        maps, dilation = {}, 1
        for stage, windows in enumerate(stages, 1):
            for i, window in enumerate(windows, 1):
                if window == "lrn":
                    x = local_response(x)
                    continue
                channels = self.width * min(2 ** (stage - 1), 8)
                sides, name, own = (window, window), f"conv{stage}_{i}", window // 2 * dilation
                x = nn.Conv(channels, sides, padding=own, kernel_dilation=dilation, kernel_init=he, name=name, **types)(
                    x
                )
                x = nn.relu(norm(name=f"norm{stage}_{i}")(x))
            maps[f"stage{stage}"] = x
            if 2**stage > self.output_stride:
                x, dilation = nn.max_pool(x, window_shape=(3, 3), padding=((1, 1), (1, 1))), 2 * dilation
            else:
                x = max_pool(x)

        if self.head == "adaptive":
            x = adaptive_avg_pool(x, self.grid, self.grid)
        dense = partial(SlidingDense, kernel_init=nn.initializers.normal(0.01), **types)
        window = (self.grid, self.grid)
        for i, width in enumerate(self.hidden, 1):
            x = nn.relu(dense(width, window, name=f"fc{i}")(x))
            x, window = Dropout(self.dropout_rate)(x, train), (1, 1)
        if not self.num_classes:
            return {**maps, "pre_logits": x.mean((1, 2)) if self.hidden else x.reshape(len(x), -1)}
        return exact(dense(self.num_classes, window, name="classifier")(x).mean((1, 2)))


def _torchvision(variant: str, norm: str) -> Port:
    """torchvision numbers all layers in one list, with the ReLUs, the poolings and the dropouts between ours."""
    numbers, following = {}, 0
    for stage, windows in enumerate(VARIANTS[variant], 1):
        for i in range(1, len(windows) + 1):
            numbers[f"conv{stage}_{i}"], numbers[f"norm{stage}_{i}"] = following, following + 1
            following += 2 if norm == "none" else 3
        following += 1
    return Port(
        names={
            r"^classifier/": "classifier/6/",
            r"^fc1/": "classifier/0/",
            r"^fc2/": "classifier/3/",
            r"^(conv|norm)\d_\d": lambda match: f"features/{numbers[match[0]]}",
        },
        flattened={r"^fc1/": (7, 7)},
    )


PORTS = {
    **{
        f"torchvision_{name}{suffix}": _torchvision(variant, norm)
        for name, variant in {"vgg11": "A", "vgg13": "B", "vgg16": "D", "vgg19": "E"}.items()
        for suffix, norm in {"": "none", "_bn": "batch"}.items()
    },
    # keras.applications, whose kernels are laid out as ours and whose images have blue first.
    "keras": BlueFirst(
        names={r"^conv(\d)_": r"block\1_conv", "^classifier/": "predictions/", "weight$": "kernel"},
        layouts={r"^conv.*/kernel$": (0, 1, 2, 3), r"^(fc\d|classifier)/kernel$": (0, 1)},
        first="^conv1_1/kernel$",
    ),
}
