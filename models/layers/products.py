"""Convolutions written as products of matrices, for programs in which the convolution itself is slow.

Under `vmap` over kernels a convolution becomes a grouped one, and in a loop its gradient leaves XLA's fast path: on a
CPU either costs several times what the product of its patches with the kernel does.
"""

import contextlib

import flax.linen as nn
import jax
import jax.numpy as jnp


def conv(x, kernel, strides, padding, lhs_dilation=(1, 1), rhs_dilation=(1, 1), feature_group_count=1, **others):
    """`jax.lax.conv_general_dilated` of x [B, H, W, I] with a kernel [h, w, I, O] -> [B, H', W', O], as one product."""
    if x.ndim != 4 or feature_group_count > 1 or max(lhs_dilation) > 1:
        dilations = dict(lhs_dilation=lhs_dilation, rhs_dilation=rhs_dilation)
        return jax.lax.conv_general_dilated(
            x, kernel, strides, padding, **dilations, feature_group_count=feature_group_count, **others
        )
    extent = [(size - 1) * dilation + 1 for size, dilation in zip(kernel.shape, rhs_dilation, strict=False)]
    if isinstance(padding, str):
        padding = jax.lax.padtype_to_pads(x.shape[1:3], extent, strides, padding)
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    for axis in (1, 2):  # rows, then columns: h + w slices to copy and not h × w
        size, dilation, stride = kernel.shape[axis - 1], rhs_dilation[axis - 1], strides[axis - 1]
        span = (x.shape[axis] - extent[axis - 1]) // stride * stride + 1
        places = [i * dilation for i in range(size)]
        x = jnp.concatenate([jax.lax.slice_in_dim(x, i, i + span, stride, axis) for i in places], axis=-1)
    flat = kernel.swapaxes(0, 1).reshape(-1, kernel.shape[-1])  # ordered as the patches: by column, row, channel
    return jax.lax.dot_general(x, flat, (((3,), (0,)), ((), ())), precision=others.get("precision"))


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
