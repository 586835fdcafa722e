"""Deformable convolutions: each sample of the window is taken where an offset says.

Dai et al., "Deformable Convolutional Networks", ICCV 2017 (v1), and Zhu et al., "Deformable ConvNets v2: More
Deformable, Better Results", CVPR 2019 (v2), which weighs each sample too: equation 1 there,

    y(p) = Σ_k w_k · x(p + p_k + Δp_k) · Δm_k,

where x between pixels is bilinear, and 0 outside of the map.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

from models.errors import ModelError


def sample(x, y_at, x_at):
    """Bilinear samples of one map x [H, W, C] at rows `y_at` and columns `x_at`, [N] each -> [N, C].

    A pixel outside of the map is 0.
    """
    height, width, channels = x.shape
    flat = x.reshape(-1, channels)
    top, left = jnp.floor(y_at), jnp.floor(x_at)
    total = 0
    for row in (top, top + 1):
        for column in (left, left + 1):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            weight = (1 - jnp.abs(y_at - row)) * (1 - jnp.abs(x_at - column))
            where = jnp.clip(row, 0, height - 1) * width + jnp.clip(column, 0, width - 1)
            pixel = flat[where.astype(jnp.int32)]
            total += pixel * jnp.where(inside, weight, 0)[:, None].astype(x.dtype)
    return total


def deform_conv(x, offsets, kernel, mask=None, stride: int = 1, padding: int = 0, dilation: int = 1):
    """x: [B, H, W, C]; kernel: [h, w, C, O] -> [B, H', W', O], the values of `torchvision.ops.deform_conv2d`.

    Args:
      offsets: [B, H', W', G · h · w · 2]: (Δy, Δx) in pixels for each sample of the window, row by row, for each of G
        groups of channels.
      mask: [B, H', W', G · h · w], the weights of the samples; None: 1.
    """
    height, width, channels, features = kernel.shape
    sides = tuple(
        (n + 2 * padding - dilation * (k - 1) - 1) // stride + 1
        for n, k in zip(x.shape[1:3], (height, width), strict=True)
    )
    samples, groups = height * width, offsets.shape[-1] // (2 * height * width)
    if offsets.shape[1:3] != sides or offsets.shape[-1] != 2 * groups * samples or not groups or channels % groups:
        raise ModelError(
            f"offsets {offsets.shape[1:]} do not fit a window of {height}×{width} that gives a map of"
            f" {sides[0]}×{sides[1]} from {channels} channels"
        )
    offsets = offsets.reshape(len(x), *sides, groups, samples, 2)
    down, right = jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij")
    rows = (jnp.arange(sides[0]) * stride - padding)[:, None, None, None] + down.ravel() * dilation
    columns = (jnp.arange(sides[1]) * stride - padding)[None, :, None, None] + right.ravel() * dilation
    y_at, x_at = rows + offsets[..., 0], columns + offsets[..., 1]  # [B, H', W', G, samples]
    y_at, x_at = (at.transpose(0, 3, 1, 2, 4).reshape(len(x), groups, -1) for at in (y_at, x_at))
    parts = jnp.moveaxis(x.reshape(*x.shape[:3], groups, -1), 3, 1)
    taken = jax.vmap(jax.vmap(sample))(parts, y_at, x_at).reshape(len(x), groups, *sides, samples, -1)
    if mask is not None:
        taken *= jnp.moveaxis(mask.reshape(len(x), *sides, groups, samples), 3, 1)[..., None].astype(taken.dtype)
    taken = taken.transpose(0, 2, 3, 4, 1, 5).reshape(len(x), *sides, samples * channels)
    return taken @ kernel.reshape(samples * channels, features)


class DeformableConv(nn.Module):
    """A convolution whose offsets, and with `modulated` weights, are those of a second convolution of its input.

    The second one starts at 0: at no offset, and with weights of a half (Zhu et al. 2019, section 3.2). Its parameters
    are called `offset`; the papers give them a tenth of the learning rate.
    """

    features: int
    kernel_size: tuple[int, int]
    strides: int = 1
    padding: int = 0
    kernel_dilation: int = 1
    modulated: bool = True  # v2
    groups: int = 1  # of channels with offsets of their own
    use_bias: bool = True
    kernel_init: Callable = nn.initializers.lecun_normal()
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H', W', features]."""
        shape = (*self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), self.param_dtype) if self.use_bias else None
        samples = self.groups * self.kernel_size[0] * self.kernel_size[1]
        found = nn.Conv(
            (3 if self.modulated else 2) * samples,
            self.kernel_size,
            self.strides,
            self.padding,
            kernel_dilation=self.kernel_dilation,
            kernel_init=nn.initializers.zeros,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name="offset",
        )(x)
        offsets, mask = found[..., : 2 * samples], None
        if self.modulated:
            mask = nn.sigmoid(found[..., 2 * samples :])
        # Places in bfloat16 would be whole pixels from 256 on.
        offsets = offsets.astype(jnp.promote_types(offsets.dtype, jnp.float32))
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = deform_conv(x, offsets, kernel, mask, self.strides, self.padding, self.kernel_dilation)
        return y if bias is None else y + bias
