"""Fully connected layers that slide over a larger map, as convolutions. Sermanet et al., ICLR 2014, section 3.5."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

from models.errors import ModelError


class SlidingDense(nn.Module):
    """A dense layer that reads a window of a map, at every position of the window.

    Its kernel [h·w·C, features] is that of the dense layer on a flattened window. On a map of the window's own size
    this is that dense layer.
    """

    features: int
    window: tuple[int, int] = (1, 1)
    kernel_init: Callable = nn.initializers.lecun_normal()
    bias_init: Callable = nn.initializers.zeros
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H - h + 1, W - w + 1, features]. Raises ModelError if the window does not fit."""
        height, width = self.window
        if x.shape[1] < height or x.shape[2] < width:
            raise ModelError(
                f"{self.name} reads a map of {height}×{width}, but this image gives {x.shape[1]}×{x.shape[2]}: "
                "the image is too small"
            )
        inputs = height * width * x.shape[-1]
        kernel = self.param("kernel", self.kernel_init, (inputs, self.features), self.param_dtype)
        bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        if x.shape[1:3] == self.window:
            return (x.reshape(len(x), inputs) @ kernel + bias)[:, None, None]
        kernel = kernel.reshape(height, width, x.shape[-1], self.features)
        return (
            jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")) + bias
        )
