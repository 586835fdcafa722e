"""Transposed convolutions to a size that is said, and their bilinear kernels. Dumoulin & Visin 2016, section 4.

A convolution that strides maps several sizes to one, so its transpose has to be told which of them it returns.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.dtypes import promote_dtype

from models.errors import ModelError
from models.layers.conv import NATURAL, Geometry, image


def bilinear(side: int) -> np.ndarray:
    """The weights [side] of bilinear upsampling by (side + 1) // 2, along one axis: Long et al. 2015, section 3.3."""
    factor = (side + 1) // 2
    centre = factor - 1 if side % 2 else factor - 0.5
    return 1 - np.abs(np.arange(side) - centre) / factor


def bilinear_init(key, shape, dtype=jnp.float32):
    """A kernel [h, w, O, I] that upsamples channel i of I as channel i of O, bilinearly."""
    height, width, outputs, inputs = shape
    plane = np.outer(bilinear(height), bilinear(width))
    return jnp.asarray(plane[:, :, None, None] * np.eye(outputs, inputs), dtype)


class TransposedConv(nn.Module):
    """torch's conv_transpose2d: the derivative, by its image, of a convolution with these strides and padding."""

    features: int
    window: int
    stride: int = 1
    padding: int = 0
    use_bias: bool = True
    kernel_init: Callable = nn.initializers.lecun_normal(in_axis=-1, out_axis=-2)
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, sides: tuple[int, int] | None = None):
        """x: [B, h, w, C] -> [B, H, W, features].

        Args:
          sides: (H, W); None: the smallest, (h − 1) · stride + window − 2 · padding and so on. Up to stride − 1 more
            are possible; torch calls what is added `output_padding`.

        Raises ModelError for sides from which no convolution comes back to h and w.
        """
        least = [(n - 1) * self.stride + self.window - 2 * self.padding for n in x.shape[1:3]]
        sides = tuple(sides or least)
        if any(not 0 <= side - n < self.stride for side, n in zip(sides, least, strict=True)):
            ranges = " × ".join(f"{n} to {n + self.stride - 1}" for n in least)
            raise ModelError(f"a map of {x.shape[1]}×{x.shape[2]} is upsampled to {ranges}, not {sides[0]}×{sides[1]}")
        shape = (self.window, self.window, self.features, x.shape[-1])
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), self.param_dtype) if self.use_bias else None
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = transposed_conv(x, kernel, self.stride, self.padding, sides)
        return y if bias is None else y + bias


def transposed_conv(y, w, stride: int, padding: int, sides: tuple[int, int]):
    """y: [B, h, w, O]; w: [k, k, I, O] -> [B, *sides, I], where a convolution of `sides` gives the size of y."""
    geometry = Geometry(sides, w.shape[:2], (stride, stride), ((padding, padding),) * 2)
    if jax.default_backend() == "cpu":
        return image(geometry, w, y)
    before = geometry.before
    after = [n + k - 1 - s - b for n, k, s, b in zip(sides, w.shape[:2], geometry.spread, before, strict=True)]
    turned = w[::-1, ::-1].swapaxes(2, 3)
    pads = tuple(zip(before, after, strict=True))
    return jax.lax.conv_general_dilated(y, turned, (1, 1), pads, (stride, stride), dimension_numbers=NATURAL)
