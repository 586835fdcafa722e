"""Convolutions with standardised weights. Qiao, Wang, Liu, Shen, Yuille, "Weight Standardization", 2019, section 3."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

from models.layers.precision import exact


class StandardisedConv(nn.Module):
    """A convolution without bias, whose kernel has mean 0 and variance 1 for each output channel."""

    features: int
    kernel_size: tuple[int, int]
    strides: int = 1
    padding: int = 0
    epsilon: float = 1e-8  # that of BiT's weights in timm
    kernel_init: Callable = nn.initializers.lecun_normal()
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H', W', features]."""
        shape = (*self.kernel_size, x.shape[-1], self.features)
        kernel = exact(self.param("kernel", self.kernel_init, shape, self.param_dtype))
        deviation = kernel - kernel.mean((0, 1, 2))
        kernel = deviation * jax.lax.rsqrt((deviation**2).mean((0, 1, 2)) + self.epsilon)
        x, kernel = promote_dtype(x, kernel.astype(self.param_dtype), dtype=self.dtype)
        strides, padding = (self.strides,) * 2, ((self.padding,) * 2,) * 2
        return jax.lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))
