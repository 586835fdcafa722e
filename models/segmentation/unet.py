"""U-Net: a contracting path for context, an expanding path for place, joined (Ronneberger et al. 2015).

Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from models.errors import ModelError, choose
from models.layers.conv import ConvTranspose
from models.layers.dropout import Dropout
from models.layers.norm import norm as normalisation
from models.layers.pool import max_pool
from models.layers.precision import exact
from models.port import Port

# "A Gaussian distribution with a standard deviation of √(2/N)", section 3; flax's `he_normal` is truncated.
he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
# "N denotes the number of incoming nodes of one neuron": a pixel that a 2×2 up-convolution makes has one place of four.
he_normal_up = nn.initializers.variance_scaling(4 * 2.0, "fan_in", "normal", in_axis=-1, out_axis=-2)

PADDINGS = {"valid": "VALID", "same": "SAME"}


class DoubleConv(nn.Module):
    """Two 3×3 convolutions, each followed by a normalisation and a ReLU."""

    features: int
    conv: Any
    norm: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H', W', features]."""
        for i in (1, 2):
            x = self.conv(self.features, (3, 3), name=f"conv{i}")(x)
            x = nn.relu(self.norm(name=f"norm{i}")(x))
        return x


class UNet(nn.Module):
    """`depth` halvings and as many doublings.

    With valid padding it is the published network: an output pixel depends on real pixels only, so the output is
    smaller than the image (572 -> 388, see `tile`). With same padding it has the size of the image, whatever that is;
    with norm="batch" too it is what most reimplementations call U-Net.
    """

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    width: int = 64  # channels of the first level; each level down has twice as many
    depth: int = 4
    padding: str = "valid"  # a name in PADDINGS
    norm: str = "none"  # a name in NORMS; "batch" is what most reimplementations use
    dropout_rate: float = 0.5  # "at the end of the contracting path": after its two deepest levels
    remat: bool = False  # compute each pair of convolutions again in the backward pass instead of keeping it
    num_classes: int = 2
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float -> logits [B, H', W', num_classes].

        With num_classes=0 a dictionary of maps: "stage1" at stride 1, ... on the way down, "bottom" at 2^depth, and
        "up1", ... on the way up, whose last the head reads.
        """
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        norm = normalisation(self.norm, train, self.axis_name, **types)
        conv = partial(
            nn.Conv,
            padding=choose(PADDINGS, "padding", self.padding),
            use_bias=self.norm == "none",
            kernel_init=he_normal,
            **types,
        )
        smallest = tile(1, self.depth)[0]
        if self.padding == "valid" and min(x.shape[1:3]) < smallest:
            raise ModelError(
                f"valid padding at depth={self.depth} needs images of {smallest} pixels a side, not "
                f"{x.shape[1]}×{x.shape[2]}"
            )
        double = partial(nn.remat(DoubleConv) if self.remat else DoubleConv, conv=conv, norm=norm)
        dropout = Dropout(self.dropout_rate)

        skips, maps = [], {}
        for level in range(self.depth):
            x = double(self.width << level, name=f"down{level}")(x)
            if level == self.depth - 1:
                x = dropout(x, train)
            skips.append(x)
            maps[f"stage{level + 1}"] = x
            x = max_pool(x)
        x = dropout(double(self.width << self.depth, name="bottom")(x), train)
        maps["bottom"] = x

        for i, features in enumerate(self.width << level for level in reversed(range(self.depth))):
            x = ConvTranspose(
                features,
                (2, 2),
                strides=(2, 2),
                kernel_init=he_normal_up,
                name=f"upsample{i}",
                **types,
            )(x)
            x = jnp.concatenate(align(skips.pop(), x), axis=-1)
            x = double(features, name=f"up{i}")(x)
            maps[f"up{i + 1}"] = x
        if not self.num_classes:
            return maps
        x = nn.Conv(self.num_classes, (1, 1), kernel_init=he_normal, name="head", **types)(x)
        return exact(x)

    def sides(self, output):
        """Sides (input, output) of the smallest image whose output has a side of at least `output`."""
        return tile(output, self.depth) if self.padding == "valid" else (output, output)


def align(skip, x):
    """A skip [B, H, W, C] and the upsampled x [B, h, w, C'] at one size.

    The skip loses the border that valid convolutions ate; x gains zeros where pooling dropped an odd row.
    """
    for axis in (1, 2):
        excess = skip.shape[axis] - x.shape[axis]
        if excess > 1:
            skip = jax.lax.slice_in_dim(skip, excess // 2, excess // 2 + x.shape[axis], axis=axis)
        elif excess == 1:
            x = jnp.pad(x, [(0, int(a == axis)) for a in range(4)])
    return skip, x


def tile(output, depth=4):
    """Sides (input, output) of the smallest tile for valid padding that has an output of at least `output`.

    Every pooling must meet an even size. Where the bottom level receives a side of b, the input has
    2^depth b + 4 (2^depth - 1) and the output 2^depth (b - 4) - 4 (2^depth - 1).
    """
    scale = 2**depth
    bottom = -(-(output + 4 * (scale - 1)) // scale) + 4
    return scale * bottom + 4 * (scale - 1), scale * (bottom - 4) - 4 * (scale - 1)


PORTS = {
    "milesial": Port(  # https://github.com/milesial/Pytorch-UNet, of depth 4
        names={
            r"/conv1/": "/0/",
            r"/norm1/": "/1/",
            r"/conv2/": "/3/",
            r"/norm2/": "/4/",
            r"^down0/": "inc/double_conv/",
            r"^down(\d)/": r"down\1/maxpool_conv/1/double_conv/",
            r"^bottom/": "down4/maxpool_conv/1/double_conv/",
            r"^up(\d)/": lambda match: f"up{int(match[1]) + 1}/conv/double_conv/",
            r"^upsample(\d)/": lambda match: f"up{int(match[1]) + 1}/up/",
            r"^head/": "outc/conv/",
        },
        fields=dict(padding="same"),
    )
}
