"""StyleGAN2: a code becomes a style, which scales the kernels of the generator (Karras et al. 2020).

Karras, Laine, Aittala, Hellsten, Lehtinen, Aila, "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020:
modulated convolutions (section 2.2), a generator with skips and a residual discriminator (figure 7), equalised rates
(Karras et al. 2018, section 4.1). Two parts of the published networks are left out: noise for each pixel, which their
successor drops, and the deviation over a minibatch, with which a score would depend on other examples.
"""

import math
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

from models.errors import ModelError
from models.layers.conv import conv
from models.layers.precision import exact

GAIN = 2**0.5
MOMENTUM = 0.995  # of the mean style


def activate(x):
    """A leaky ReLU that keeps the second moment of a Gaussian, nearly."""
    return GAIN * nn.leaky_relu(x, 0.2)


def _padded(x, before: int, after: int):
    return jnp.pad(x, ((0, 0), (before, after), (before, after), (0, 0)))


def double(x):
    """x: [B, H, W, C] -> [B, 2H, 2W, C]: the filter (1, 3, 3, 1) between zeros, which is bilinear; 0 outside."""
    for axis in (1, 2):
        padded = jnp.pad(x, [(int(i == axis),) * 2 for i in range(4)])
        size = x.shape[axis]
        before, after = padded.take(jnp.arange(size), axis), padded.take(jnp.arange(2, size + 2), axis)
        pairs = jnp.stack([(before + 3 * x) / 4, (3 * x + after) / 4], axis + 1)
        x = pairs.reshape(*x.shape[:axis], 2 * size, *x.shape[axis + 1 :])
    return x


def smooth(x):
    """x: [B, H, W, C] -> [B, H + 1, W + 1, C]: the filter (1, 3, 3, 1)/8 in both axes; 0 outside."""
    x = _padded(x, 2, 2)
    for axis in (1, 2):
        size = x.shape[axis] - 3
        a, b, c, d = (x.take(jnp.arange(i, i + size), axis) for i in range(4))
        x = (a + 3 * (b + c) + d) / 8
    return x


class Equalised(nn.Module):
    """A convolution or, without a kernel size, an affine layer: kernels from N(0, 1), scaled in each call by 1/√fan-in.

    `rate` makes it learn slower than other layers: what is stored is larger by 1/rate.
    """

    features: int
    size: int = 0  # of the kernel
    stride: int = 1
    padding: int = 0
    use_bias: bool = True
    offset: float = 0.0  # that the bias starts with
    rate: float = 1.0
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H', W', features], or [B, C] -> [B, features]."""
        shape = (*(self.size,) * (2 if self.size else 0), x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.normal(1 / self.rate), shape, self.param_dtype)
        kernel = kernel * (self.rate / math.prod(shape[:-1]) ** 0.5)
        bias = nn.initializers.constant(self.offset / self.rate)
        bias = self.rate * self.param("bias", bias, shape[-1:], self.param_dtype) if self.use_bias else None
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        strides, padding = (self.stride,) * 2, ((self.padding,) * 2,) * 2
        x = conv(x, kernel, strides, padding) if self.size else x @ kernel
        return x if bias is None else x + bias


class Modulated(nn.Module):
    """A convolution whose kernel is scaled by a style at its inputs and, demodulated, to norm 1 at each output.

    Equations 1 and 3: what is scaled here are the maps before and after one convolution with the common kernel, which
    is the same.
    """

    features: int
    size: int = 3
    demodulate: bool = True
    doubled: bool = False
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, style):
        """x: [B, H, W, C]; style: [B, D] -> [B, H, W, features], or `doubled` [B, 2H, 2W, features]."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.normal(1.0), shape, self.param_dtype)
        kernel = kernel / math.prod(shape[:-1]) ** 0.5
        scale = exact(Equalised(x.shape[-1], offset=1.0, name="style", **types)(style))  # [B, C]
        norms = jax.lax.rsqrt(scale**2 @ (kernel**2).sum((0, 1)) + 1e-8)  # [B, features]
        bias = self.param("bias", nn.initializers.zeros, shape[-1:], self.param_dtype)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        x, margin = x * scale[:, None, None].astype(x.dtype), self.size // 2
        if self.doubled:  # the convolution sees what the filter brings beyond the border
            x, margin = double(_padded(x, 1, 1))[:, 1:-1, 1:-1], 0
        x = conv(x, kernel, (1, 1), ((margin, margin),) * 2)
        return (x * norms[:, None, None].astype(x.dtype) if self.demodulate else x) + bias


class Mapping(nn.Module):
    """A code to a style, both of the same width; in training the mean style moves."""

    layers: int
    types: dict

    @nn.compact
    def __call__(self, z, train: bool):
        """z: [B, D] -> [B, D]."""
        x = z * jax.lax.rsqrt((exact(z) ** 2).mean(-1, keepdims=True) + 1e-8).astype(z.dtype)
        for i in range(self.layers):
            x = activate(Equalised(z.shape[-1], rate=0.01, name=f"layer{i}", **self.types)(x))
        mean = self.variable("batch_stats", "mean", jnp.zeros, z.shape[-1:], self.types["param_dtype"])
        if train and not self.is_initializing():
            batch = jax.lax.stop_gradient(exact(x).mean(0))
            mean.value = (MOMENTUM * mean.value + (1 - MOMENTUM) * batch).astype(mean.value.dtype)
        return x


class Synthesis(nn.Module):
    """A style to an image; each doubling adds to the image of the one before."""

    shape: tuple[int, int, int]
    widths: tuple[int, ...]  # channels at each height, the smallest first
    types: dict

    @nn.compact
    def __call__(self, style):
        """style: [B, D] -> [B, *shape], unbounded."""
        count, (height, width, channels) = len(self.widths) - 1, self.shape
        start = (height >> count, width >> count, self.widths[0])
        x = self.param("start", nn.initializers.normal(1.0), start, self.types["param_dtype"])
        x = jnp.broadcast_to(x, (len(style), *start)).astype(style.dtype)
        image = None
        for i, features in enumerate(self.widths):
            if i > 0:
                x = activate(Modulated(features, doubled=True, name=f"up{i}", **self.types)(x, style))
            x = activate(Modulated(features, name=f"conv{i}", **self.types)(x, style))
            own = exact(Modulated(channels, 1, False, name=f"image{i}", **self.types)(x, style))
            image = own if image is None else double(image) + own
        return image


class Generator(nn.Module):
    """Noise to an image around [-1, 1], which nothing bounds."""

    conditions: ClassVar[tuple[str, ...]] = ()

    shape: tuple[int, int, int] = (32, 32, 3)  # H, W, C of an image
    latent: int = 512  # width of a code and of a style
    width: int = 64  # channels at full size; twice as many at each halving, ...
    widest: int = 512  # ... up to these
    blocks: int = 3  # doublings
    mapping: int = 8  # layers from the code to the style
    dtype: Any = None
    param_dtype: Any = jnp.float32

    def setup(self):
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        if self.shape[0] % (1 << self.blocks) or self.shape[1] % (1 << self.blocks):
            sides = f"{self.shape[0]}×{self.shape[1]}"
            raise ModelError(f"stylegan2_generator: {self.blocks} doublings do not make images of {sides}")
        widths = tuple(min(self.width << i, self.widest) for i in reversed(range(self.blocks + 1)))
        self.to_style = Mapping(self.mapping, types)
        self.synthesis = Synthesis(self.shape, widths, types)

    def style(self, z, train: bool):
        """z: [B, latent] -> the style [B, latent]."""
        return self.to_style(z, train)

    def paint(self, style):
        """style: [B, latent] -> [B, *shape]."""
        return self.synthesis(style)

    def __call__(self, z, train: bool):
        """z: [B, latent] -> [B, *shape]."""
        return self.paint(self.style(z, train))


class Discriminator(nn.Module):
    """An image to a logit of "real", of each example alone: residual blocks that halve."""

    conditions: ClassVar[tuple[str, ...]] = ()

    width: int = 64  # channels at full size; twice as many at each halving, ...
    widest: int = 512  # ... up to these
    blocks: int = 3  # halvings
    headless: bool = False  # True: the maps are the answer
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] -> [B], or without a head {"stage0": map, ...}."""
        if any(side % (1 << self.blocks) for side in x.shape[1:3]):
            sides = f"{x.shape[1]}×{x.shape[2]}"
            raise ModelError(f"stylegan2_discriminator: images of {sides} cannot be halved {self.blocks} times")
        layer = partial(Equalised, dtype=self.dtype, param_dtype=self.param_dtype)
        widths = [min(self.width << i, self.widest) for i in range(self.blocks + 1)]
        x = activate(layer(widths[0], 1, name="input")(x))
        maps = {"stage0": x}
        for i in range(self.blocks):
            y = activate(layer(widths[i], 3, padding=1, name=f"block{i}_conv1")(x))
            y = activate(layer(widths[i + 1], 3, stride=2, name=f"block{i}_conv2")(smooth(y)))
            skip = layer(widths[i + 1], 1, stride=2, use_bias=False, name=f"block{i}_skip")(smooth(x)[:, 1:-1, 1:-1])
            x = maps[f"stage{i + 1}"] = (y + skip) / GAIN
        if self.headless:
            return maps
        x = activate(layer(widths[-1], 3, padding=1, name="conv")(x))
        x = activate(layer(widths[-1], name="hidden")(x.reshape(len(x), -1)))
        return exact(layer(1, name="score")(x)[:, 0])
