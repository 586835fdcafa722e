"""Convolutions whose gradients are written out as the convolutions that they are.

For x, a kernel w and y, ⟨y, conv(x, w)⟩ is linear in each of the three. Its derivative by one of them is a function of
the other two, which is a convolution again: `output`, `image` or `kernel` below. Dumoulin & Visin, "A guide to
convolution arithmetic for deep learning", 2016, draw the second in section 4.

JAX writes two of them with permuted dimensions. XLA's CPU backend has a fast path for the natural order alone, into
which it puts the others only outside of loops: in a `scan` the gradient by the kernel takes a hundred times longer.
"""

import contextlib
import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.dtypes import promote_dtype

NATURAL = ("NHWC", "HWIO", "NHWC")
Pair = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Geometry:
    """How a kernel moves over an image; each in rows and in columns.

    Attributes:
      padding: (before, after) for rows and for columns.
      dilation: of the kernel.
    """

    image: Pair
    kernel: Pair
    strides: Pair
    padding: tuple[Pair, Pair]
    dilation: Pair = (1, 1)

    @property
    def extent(self) -> Pair:
        """Sides of what the dilated kernel covers."""
        return tuple((n - 1) * d + 1 for n, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def before(self) -> Pair:
        """How far the kernel's last row and column are before the first ones of the padded image."""
        return tuple(n - 1 - low for n, (low, _) in zip(self.extent, self.padding, strict=True))

    @property
    def spread(self) -> Pair:
        """Sides of y with its strides between its elements."""
        spread = []
        for n, (low, high), size, stride in zip(self.image, self.padding, self.extent, self.strides, strict=True):
            spread.append((n + low + high - size) // stride * stride + 1)
        return tuple(spread)


def _natural(x, kernel, padding, strides=(1, 1), lhs_dilation=(1, 1), rhs_dilation=(1, 1)):
    return jax.lax.conv_general_dilated(x, kernel, strides, padding, lhs_dilation, rhs_dilation, NATURAL)


def _few(inputs, outputs):
    """Whether a kernel has so few channels that its product with patches is faster than its convolution."""
    return inputs <= 6 and outputs <= 16


def _product(geometry, w, x):
    """`output`, as one product of matrices."""
    # Channels first, so that what is copied lies together: one row of an image at least.
    pads = [(*pad, 0) for pad in geometry.padding]
    x = jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *pads, (0, 0, 0)]).transpose(3, 0, 1, 2)
    tops, lefts = map(np.arange, (0, 0), geometry.extent, geometry.dilation)
    (height, width), (down, right) = geometry.spread, geometry.strides
    # In a loop, so that x is computed once: XLA would fuse its computation into every one of several slices.
    rows = jax.lax.map(lambda top: jax.lax.dynamic_slice_in_dim(x, top, height, 2)[:, :, ::down], tops)
    patches = jnp.stack([rows[..., left : left + width : right] for left in lefts])
    y = w.swapaxes(0, 1).reshape(-1, w.shape[3]).T @ patches.reshape(w[..., 0].size, -1)
    return y.reshape(-1, *patches.shape[3:]).transpose(1, 2, 3, 0)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def output(geometry, x, w):
    """x: [B, H, W, I]; w: [h, w, I, O] -> y [B, H', W', O]: the convolution itself."""
    if _few(*w.shape[2:]):
        return _product(geometry, w, x)
    return _natural(x, w, geometry.padding, geometry.strides, rhs_dilation=geometry.dilation)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def image(geometry, w, y):
    """The derivative by x, also called the transposed convolution: y between its strides, with the kernel turned."""
    if _few(*w.shape[2:]):
        x = jax.ShapeDtypeStruct((len(y), *geometry.image, w.shape[2]), y.dtype)
        return jax.linear_transpose(partial(_product, geometry, w), x)(y)[0]
    padding = tuple(
        (before, n + size - 1 - spread - before)
        for n, size, spread, before in zip(
            geometry.image, geometry.extent, geometry.spread, geometry.before, strict=True
        )
    )
    turned = w[::-1, ::-1].swapaxes(2, 3)
    return _natural(y, turned, padding, lhs_dilation=geometry.strides, rhs_dilation=geometry.dilation)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def kernel(geometry, x, y):
    """The derivative by w: y, between its strides, as a kernel that moves over x, and examples as channels."""
    if _few(x.shape[3], y.shape[3]):
        w = jax.ShapeDtypeStruct((*geometry.kernel, x.shape[3], y.shape[3]), y.dtype)
        return jax.linear_transpose(lambda w: _product(geometry, w, x), w)(y)[0]
    padding = tuple(
        (low, spread - n + before)
        for n, (low, _), spread, before in zip(
            geometry.image, geometry.padding, geometry.spread, geometry.before, strict=True
        )
    )
    x, y = x.transpose(3, 1, 2, 0), y.transpose(1, 2, 0, 3)
    return _natural(x, y, padding, geometry.dilation, rhs_dilation=geometry.strides).transpose(1, 2, 0, 3)


def _keep(function):
    return lambda geometry, *arguments: (function(geometry, *arguments), arguments)


output.defvjp(_keep(output), lambda g, saved, y: (image(g, saved[1], y), kernel(g, saved[0], y)))
image.defvjp(_keep(image), lambda g, saved, x: (kernel(g, x, saved[1]), output(g, x, saved[0])))
kernel.defvjp(_keep(kernel), lambda g, saved, w: (image(g, w, saved[1]), output(g, saved[0], w)))


def conv(x, w, strides, padding, lhs_dilation=(1, 1), rhs_dilation=(1, 1), dimension_numbers=NATURAL, **others):
    """`jax.lax.conv_general_dilated` of x [B, H, W, I] with w [h, w, I, O] -> [B, H', W', O].

    Grouped convolutions, and everything on accelerators, fall back to JAX.
    """
    plain = x.ndim == 4 and max(lhs_dilation) == 1 and all(value in (None, 1) for value in others.values())
    if not plain or jax.default_backend() != "cpu":
        dilations = lhs_dilation, rhs_dilation
        return jax.lax.conv_general_dilated(x, w, strides, padding, *dilations, dimension_numbers, **others)
    geometry = Geometry(x.shape[1:3], w.shape[:2], tuple(strides), ((0, 0),) * 2, tuple(rhs_dilation))
    if isinstance(padding, str):
        padding = jax.lax.padtype_to_pads(geometry.image, geometry.extent, geometry.strides, padding)
    if x.shape[1:3] == w.shape[:2] and not np.any(padding):  # it covers the whole image: a dense layer
        return (x.reshape(len(x), -1) @ w.reshape(-1, w.shape[3]))[:, None, None]
    return output(dataclasses.replace(geometry, padding=tuple(map(tuple, padding))), x, w)


def conv_transpose(y, w, strides, padding):
    """`jax.lax.conv_transpose(..., transpose_kernel=True)`: the derivative of `conv` by its image.

    y: [B, H', W', O]; w: [h, w, I, O]; padding: "SAME" or "VALID" -> [B, H, W, I], where H = H' · stride, and "VALID"
    adds what the kernel reaches beyond that.
    """
    if jax.default_backend() != "cpu":
        return jax.lax.conv_transpose(y, w, strides, padding, transpose_kernel=True)
    beyond = [0 if padding == "SAME" else max(size - stride, 0) for size, stride in zip(w.shape, strides, strict=False)]
    sides = tuple(n * stride + more for n, stride, more in zip(y.shape[1:3], strides, beyond, strict=True))
    padding = jax.lax.padtype_to_pads(sides, w.shape[:2], strides, padding)
    return image(Geometry(sides, w.shape[:2], tuple(strides), tuple(padding)), w, y)


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


@contextlib.contextmanager
def gradients_written_out():
    """While it lasts, every `nn.Conv` computes by `conv`."""

    def call(function, args, kwargs, context):
        module = context.module
        if type(module) is nn.Conv and module.conv_general_dilated is None:
            # A bound module is this call's own copy, but frozen.
            object.__setattr__(module, "conv_general_dilated", conv)
        return function(*args, **kwargs)

    with nn.intercept_methods(call):
        yield
