"""Transposed convolution, differentiated as the strided convolution that it is the gradient of.

Dumoulin & Visin, "A guide to convolution arithmetic for deep learning", 2016, section 4.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype


def conv(x, kernel, strides, padding):
    """x: [B, H, W, I]; kernel: [h, w, I, O] -> [B, H', W', O]."""
    return jax.lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def conv_transpose(x, kernel, strides, padding):
    """The gradient of `conv` with respect to its input: x [B, H', W', O]; kernel [h, w, I, O] -> [B, H, W, I].

    padding: "SAME" (H = H' · stride) or "VALID". As a function of x it is linear with `conv` as its transpose, and so
    are both gradients. Left to itself, JAX derives one for the kernel for which XLA has no fast path on a CPU.
    """
    return jax.lax.conv_transpose(x, kernel, strides, padding, transpose_kernel=True)


def _forward(x, kernel, strides, padding):
    return conv_transpose(x, kernel, strides, padding), (x, kernel)


def _backward(strides, padding, saved, gradient):
    x, kernel = saved
    output, pull = jax.vjp(lambda kernel: conv(gradient, kernel, strides, padding), kernel)
    return output, *pull(x)


conv_transpose.defvjp(_forward, _backward)


class ConvTranspose(nn.Module):
    """`nn.ConvTranspose(..., transpose_kernel=True)`, which is torch's: the same parameters and outputs."""

    features: int
    kernel_size: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    padding: str = "SAME"
    use_bias: bool = True
    kernel_init: Callable = nn.initializers.lecun_normal(in_axis=-1, out_axis=-2)
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H', W', features]."""
        shape = (*self.kernel_size, self.features, x.shape[-1])
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), self.param_dtype) if self.use_bias else None
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        x = conv_transpose(x, kernel, self.strides, self.padding)
        return x if bias is None else x + bias
