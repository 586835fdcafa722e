"""U-Net: a contracting path for context and an expanding path for place, joined level by level.

Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

# "a Gaussian distribution with a standard deviation of √(2/N)", section 3; `nn.initializers.he_normal` is truncated.
he_normal = partial(nn.initializers.variance_scaling, 2.0, "fan_in", "normal")


class DoubleConv(nn.Module):
    """Two 3×3 convolutions, each followed by a ReLU."""

    features: int
    padding: str
    norm: str
    dtype: Any
    param_dtype: Any
    axis_name: str | None

    @nn.compact
    def __call__(self, x, train):
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        for i in (1, 2):
            x = nn.Conv(
                self.features,
                (3, 3),
                padding=self.padding.upper(),
                use_bias=self.norm == "none",
                kernel_init=he_normal(),
                name=f"conv{i}",
                **types,
            )(x)
            if self.norm == "batch":
                x = nn.BatchNorm(
                    use_running_average=not train,
                    momentum=0.9,
                    axis_name=self.axis_name,
                    name=f"norm{i}",
                    **types,
                )(x)
            x = nn.relu(x)
        return x


class UNet(nn.Module):
    """`[B, H, W, C]` → logits `[B, H', W', num_classes]`.

    `padding="valid"` is the published network: H' is smaller than H (572 → 388, see `tile`) and every output sees
    only real pixels. `padding="same"` keeps H' = H for images of any size; with `norm="batch"` it is the form
    that most reimplementations mean.
    """

    num_classes: int = 2
    width: int = 64  # channels of the first level; every level below has twice as many
    depth: int = 4
    padding: str = "valid"
    norm: str = "none"
    dropout: float = 0.5  # "at the end of the contracting path": its two deepest levels
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train):
        if self.padding not in ("valid", "same") or self.norm not in ("none", "batch"):
            raise ValueError(f"padding {self.padding!r} of valid, same, norm {self.norm!r} of none, batch")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        double = partial(DoubleConv, padding=self.padding, norm=self.norm, axis_name=self.axis_name, **types)
        dropout = partial(nn.Dropout(self.dropout), deterministic=not train)

        skips = []
        for level in range(self.depth):
            x = double(self.width << level, name=f"down{level}")(x, train)
            if level == self.depth - 1:
                x = dropout(x)
            skips.append(x)
            x = nn.max_pool(x, (2, 2), (2, 2))
        x = dropout(double(self.width << self.depth, name="bottom")(x, train))

        for level in reversed(range(self.depth)):
            x = nn.ConvTranspose(
                self.width << level,
                (2, 2),
                strides=(2, 2),
                transpose_kernel=True,
                kernel_init=he_normal(in_axis=-1, out_axis=-2),
                name=f"upsample{level}",
                **types,
            )(x)
            x = jnp.concatenate(align(skips[level], x), axis=-1)
            x = double(self.width << level, name=f"up{level}")(x, train)
        x = nn.Conv(self.num_classes, (1, 1), kernel_init=he_normal(), name="head", **types)(x)
        return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def align(skip, x):
    """Brings a skip `[B, H, W, C]` and the upsampled `[B, h, w, C']` to one size, centres on each other.

    The skip loses the border that valid convolutions ate; where a pooling dropped an odd row, x gains it as zeros.
    """
    for axis in (1, 2):
        excess = skip.shape[axis] - x.shape[axis]
        if excess > 1:
            skip = jax.lax.slice_in_dim(skip, excess // 2, excess // 2 + x.shape[axis], axis=axis)
        elif excess == 1:
            x = jnp.pad(x, [(0, int(a == axis)) for a in range(4)])
    return skip, x


def tile(output, depth=4):
    """The (input, output) side of the smallest valid tile whose output is at least `output` pixels: 388 → (572, 388).

    Every pooling of a valid tile meets an even size. At the bottom the side is b; the output is
    2^depth (b − 4) − 4 (2^depth − 1), the input 2^depth b + 4 (2^depth − 1).
    """
    scale = 2**depth
    bottom = -(-(output + 4 * (scale - 1)) // scale) + 4
    return scale * bottom + 4 * (scale - 1), scale * (bottom - 4) - 4 * (scale - 1)
