"""Convolutions written as products of matrices, for programs in which the convolution itself is slow.

Under `vmap` over kernels a convolution becomes a grouped one, and in a loop its gradient leaves XLA's fast path: on a
CPU either costs several times what the product of its patches with the kernel does.
"""

import contextlib

import flax.linen as nn
import jax
import jax.numpy as jnp


def conv(x, kernel, strides, padding, lhs_dilation=(1, 1), rhs_dilation=(1, 1), feature_group_count=1, **others):
    """`jax.lax.conv_general_dilated` of x [B, H, W, I] with a kernel [h, w, I, O] -> [B, H', W', O], as one product.

    What is no plain convolution of images, or is a grouped one, is left to it.
    """
    if x.ndim != 4 or feature_group_count > 1 or max(lhs_dilation) > 1:
        dilations = dict(lhs_dilation=lhs_dilation, rhs_dilation=rhs_dilation)
        return jax.lax.conv_general_dilated(
            x, kernel, strides, padding, **dilations, feature_group_count=feature_group_count, **others
        )
    h, w, channels, features = kernel.shape
    extent = [(size - 1) * dilation + 1 for size, dilation in zip((h, w), rhs_dilation, strict=True)]
    if isinstance(padding, str):
        padding = jax.lax.padtype_to_pads(x.shape[1:3], extent, strides, padding)
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    height, width = (
        (size - span) // stride + 1 for size, span, stride in zip(x.shape[1:3], extent, strides, strict=True)
    )
    if (height, width) == (1, 1) and rhs_dilation == (1, 1):  # it covers the whole image: a dense layer
        return (x[:, :h, :w].reshape(len(x), -1) @ kernel.reshape(-1, features))[:, None, None]

    def moved(x, axis, place):
        """What the kernel's row or column at `place` sees."""
        start, stride = place * rhs_dilation[axis], strides[axis]
        return jax.lax.slice_in_dim(x, start, start + ((height, width)[axis] - 1) * stride + 1, stride, axis + 2)

    # Channels first, so that what is copied lies together: one row of an image at least.
    x = x.transpose(3, 0, 1, 2)
    if channels == 1:
        patches = jnp.concatenate([moved(moved(x, 0, i), 1, j) for i in range(h) for j in range(w)])
    else:  # rows, then columns: h + w pieces and not h × w
        x = jnp.concatenate([moved(x, 0, i) for i in range(h)])
        patches, kernel = jnp.concatenate([moved(x, 1, j) for j in range(w)]), kernel.swapaxes(0, 1)
    y = kernel.reshape(-1, features).T @ patches.reshape(len(patches), -1)
    return y.reshape(features, -1, height, width).transpose(1, 2, 3, 0)


@contextlib.contextmanager
def convolutions_as_products():
    """While it lasts, every `nn.Conv` that is called computes by `conv`: the same function, up to rounding."""

    def call(function, args, kwargs, context):
        module = context.module
        if type(module) is nn.Conv and module.conv_general_dilated is None:
            # A bound module is this call's own copy, but frozen.
            object.__setattr__(module, "conv_general_dilated", conv)
        return function(*args, **kwargs)

    with nn.intercept_methods(call):
        yield
