"""Grouped convolutions as XLA's CPU backend computes them fast.

Its own lowering of a grouped convolution and of its gradients is 20 to 200 times slower than a few dense convolutions
of the same channels, even of kernels that are zero between groups; that of a depthwise one 2 to 4 times slower than a
sum of shifted images. On accelerators, a grouped convolution is that of JAX.
"""

from functools import partial

import jax
import jax.numpy as jnp

from models.layers.conv import NATURAL, conv
from models.layers.precision import exact

LEAST = 32  # channels that a dense convolution reads: fewer are slower, more multiply more zeros


def grouped_conv(x, w, strides, padding, lhs_dilation=(1, 1), rhs_dilation=(1, 1), **others):
    """`jax.lax.conv_general_dilated` of x [B, H, W, C] with w [h, w, C/groups, O] -> [B, H', W', O].

    For nn.Conv(..., feature_group_count=groups, conv_general_dilated=grouped_conv).
    """
    if jax.default_backend() != "cpu" or x.ndim != 4 or max(lhs_dilation) > 1:
        others = {"dimension_numbers": NATURAL, **others}
        return jax.lax.conv_general_dilated(x, w, strides, padding, lhs_dilation, rhs_dilation, **others)
    if isinstance(padding, str):
        extent = [(n - 1) * d + 1 for n, d in zip(w.shape, rhs_dilation, strict=False)]
        padding = jax.lax.padtype_to_pads(x.shape[1:3], extent, strides, padding)
    return _grouped_conv(x, w, tuple(strides), tuple(map(tuple, padding)), tuple(rhs_dilation))


# `models.counting` finds this function by its name and does not count the products with zeros.
@partial(jax.jit, static_argnums=(2, 3, 4))
def _grouped_conv(x, w, strides, padding, dilation):
    inputs, outputs, groups = w.shape[2], w.shape[3], x.shape[3] // w.shape[2]
    if inputs == 1 and outputs == groups:
        return _depthwise(x, w, strides, padding, dilation)
    together = next(n for n in range(1, groups + 1) if groups % n == 0 and (n * inputs >= LEAST or n == groups))
    pieces = groups // together
    images, kernels = jnp.split(x, pieces, -1), jnp.split(w, pieces, -1)
    kernels = [_block_diagonal(kernel, together) for kernel in kernels]
    results = [conv(*pair, strides, padding, rhs_dilation=dilation) for pair in zip(images, kernels, strict=True)]
    return jnp.concatenate(results, -1)


def _block_diagonal(w, groups):
    """The kernel [h, w, groups · I, O] of a plain convolution that computes the grouped one of w [h, w, I, O]."""
    if groups == 1:
        return w
    height, width, inputs, outputs = w.shape
    parts = w.reshape(height, width, inputs, groups, outputs // groups)
    spread = jnp.einsum("hwigo,gk->hwkigo", parts, jnp.eye(groups, dtype=w.dtype))
    return spread.reshape(height, width, groups * inputs, outputs)


def _depthwise(x, w, strides, padding, dilation):
    """The sum over the window's positions of x there times the weights of the channels."""
    height, width = w.shape[:2]
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    extents = [(n - 1) * d + 1 for n, d in zip((height, width), dilation, strict=True)]
    rows, columns = ((n - e) // s for n, e, s in zip(x.shape[1:3], extents, strides, strict=True))
    total = 0
    for i in range(height):
        for j in range(width):
            top, left = i * dilation[0], j * dilation[1]
            shifted = x[:, top : top + rows * strides[0] + 1 : strides[0]]
            shifted = shifted[:, :, left : left + columns * strides[1] + 1 : strides[1]]
            total += exact(shifted * w[i, j, 0])
    return total.astype(x.dtype)
