"""DDPM++ and NCSN++: the U-Nets of score-based models through stochastic differential equations (Song et al. 2021).

Song et al., "Score-Based Generative Modeling through Stochastic Differential Equations", ICLR 2021, appendix H and the
authors' code: the residual blocks of BigGAN, which also change the resolution, and skips rescaled by 1/√2. NCSN++ has
further smoothed resampling, the image added at every resolution, and random Fourier features of the time.
"""

import math
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from models.errors import ModelError, choose
from models.layers.attention import SelfAttention
from models.layers.dropout import Dropout
from models.layers.norm import norm as normalisation
from models.layers.precision import exact
from models.port import Port

# Table 1 and appendix H.2; the deep ones have eight blocks in place of four.
VARIANTS = {
    "ddpmpp": dict(smooth=False, pyramid=False, fourier=False),
    "ncsnpp": dict(smooth=True, pyramid=True, fourier=True),
    "ncsnpp_vp": dict(smooth=True, pyramid=True, fourier=False),  # for processes that preserve variance
}

uniform = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")
zeros = nn.initializers.zeros
FREQUENCIES = 16 * math.log(50 / 0.01)  # their standard deviation, times log σ over the process: time goes from 0 to 1


def along(axis: int, x, pad: int):
    """x, padded by zeros at both ends of an axis, and cuts of it: (start, stride) -> x[start::stride]."""
    x = jnp.pad(x, [(pad * (i == axis),) * 2 for i in range(4)])
    return lambda start, count, stride=1: jax.lax.slice_in_dim(x, start, start + (count - 1) * stride + 1, stride, axis)


def smooth_down(x):
    """Every second pixel after the filter (1, 3, 3, 1)/8 in both axes: [B, 2H, 2W, C] -> [B, H, W, C]."""
    for axis in (1, 2):
        cut, count = along(axis, x, 1), x.shape[axis] // 2
        x = (cut(0, count, 2) + 3 * cut(1, count, 2) + 3 * cut(2, count, 2) + cut(3, count, 2)) / 8
    return x


def smooth_up(x):
    """Twice the pixels, between which the filter (1, 3, 3, 1)/4 fills in: [B, H, W, C] -> [B, 2H, 2W, C]."""
    for axis in (1, 2):
        cut, count = along(axis, x, 1), x.shape[axis]
        left, right = (cut(0, count) + 3 * cut(1, count)) / 4, (3 * cut(1, count) + cut(2, count)) / 4
        shape = tuple(size * (1 + (i == axis)) for i, size in enumerate(x.shape))
        x = jnp.stack([left, right], axis + 1).reshape(shape)
    return x


def smooth(x):
    """The filter (1, 3, 3, 1)/8 in both axes, with one row and column more: [B, H, W, C] -> [B, H + 1, W + 1, C]."""
    for axis in (1, 2):
        cut, count = along(axis, x, 2), x.shape[axis] + 1
        x = (cut(0, count) + 3 * cut(1, count) + 3 * cut(2, count) + cut(3, count)) / 8
    return x


def mean_down(x):
    """The means of 2×2 pixels."""
    return nn.avg_pool(x, (2, 2), strides=(2, 2))


def repeat_up(x):
    """Each pixel as 2×2 of them."""
    return x.repeat(2, axis=1).repeat(2, axis=2)


def group_norm(x, **types):
    """The constructor of normalisations of x's channels, at most 32 groups of at least four."""
    return normalisation("group", False, None, num_groups=min(x.shape[-1] // 4, 32), epsilon=1e-6, **types)


class BigGANBlock(nn.Module):
    """(x + h)/√2, h = norm, swish, resize, conv, time, norm, swish, conv."""

    features: int
    dropout_rate: float
    dtype: Any
    param_dtype: Any
    resize: Any = None  # [B, H, W, C] -> [B, H', W', C]

    @nn.compact
    def __call__(self, x, time, train: bool):
        """x: [B, H, W, C]; time: [B, D] -> [B, H', W', features]."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        conv = partial(nn.Conv, self.features, **types)
        y = nn.swish(group_norm(x, **types)(name="norm1")(x))
        changes = x.shape[-1] != self.features or self.resize is not None
        if self.resize is not None:
            x, y = self.resize(x), self.resize(y)
        y = conv((3, 3), kernel_init=uniform, name="conv1")(y)
        y += nn.Dense(self.features, kernel_init=uniform, name="time", **types)(nn.swish(time))[:, None, None]
        y = Dropout(self.dropout_rate)(nn.swish(group_norm(y, **types)(name="norm2")(y)), train)
        y = conv((3, 3), kernel_init=zeros, name="conv2")(y)
        if changes:
            x = conv((1, 1), kernel_init=uniform, name="shortcut")(x)
        return (x + y) / math.sqrt(2)


class AttentionBlock(nn.Module):
    """(x + attention(norm(x)))/√2 over all pixels, with one head."""

    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H, W, C]."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        y = group_norm(x, **types)(name="norm")(x).reshape(x.shape[0], -1, x.shape[-1])
        y = SelfAttention(1, kernel_init=uniform, out_init=zeros, name="attention", **types)(y)
        return (x + y.reshape(x.shape)) / math.sqrt(2)


class NCSNpp(nn.Module):
    """A level for each multiplier; attention follows every block on the way down, and a level on the way up."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    variant: str = "ncsnpp"  # a name in VARIANTS
    width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 2, 2)
    blocks: int = 4  # residual blocks of a level on the way down; one more on the way up
    attention: tuple[int, ...] = (16,)  # the resolutions that have it
    dropout_rate: float = 0.1
    outputs: int = 1  # for each channel of the image; 2: with the mixture of a learned variance
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, time, train: bool):
        """x: [B, H, W, C], H and W multiples of 2^(levels - 1); time: [B], of 1000 steps -> [B, H, W, outputs·C]."""
        kind, types = choose(VARIANTS, "variant", self.variant), dict(dtype=self.dtype, param_dtype=self.param_dtype)
        channels, halvings = x.shape[-1], len(self.multipliers) - 1
        if x.shape[1] % 2**halvings or x.shape[2] % 2**halvings:
            raise ModelError(f"{x.shape[1]}×{x.shape[2]} cannot be halved {halvings} times")
        down, up = (smooth_down, smooth_up) if kind["smooth"] else (mean_down, repeat_up)
        block = partial(BigGANBlock, dropout_rate=self.dropout_rate, **types)
        conv = partial(nn.Conv, kernel_size=(3, 3), kernel_init=uniform, **types)
        dense = partial(nn.Dense, 4 * self.width, kernel_init=uniform, **types)

        if kind["fourier"]:
            draw = lambda: FREQUENCIES * jax.random.normal(self.make_rng("params"), (self.width,), self.param_dtype)
            angles = 2 * math.pi * time[:, None] / 1000 * self.variable("buffers", "frequencies", draw).value
        else:
            half = self.width // 2
            angles = time[:, None] * jnp.exp(-math.log(10_000.0) * jnp.arange(half) / (half - 1))
        t = dense(name="time1")(jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], -1))
        t = dense(name="time2")(nn.swish(t))

        image, x = x, conv(self.width, name="conv_in")(x)
        skips = [x]
        for level, multiplier in enumerate(self.multipliers):
            for i in range(self.blocks):
                x = block(self.width * multiplier, name=f"down{level}_block{i}")(x, t, train)
                if x.shape[1] in self.attention:
                    x = AttentionBlock(name=f"down{level}_attention{i}", **types)(x)
                skips.append(x)
            if level < halvings:
                x = block(x.shape[-1], resize=down, name=f"downsample{level}")(x, t, train)
                if kind["pyramid"]:
                    name = f"pyramid{level}"
                    image = conv(x.shape[-1], strides=2, padding="VALID", name=name)(smooth(image))
                    x = image = (image + x) / math.sqrt(2)
                skips.append(x)

        x = block(x.shape[-1], name="middle_block0")(x, t, train)
        x = AttentionBlock(name="middle_attention", **types)(x)
        x = block(x.shape[-1], name="middle_block1")(x, t, train)

        for level, multiplier in reversed(list(enumerate(self.multipliers))):
            for i in range(self.blocks + 1):
                x = jnp.concatenate([x, skips.pop()], axis=-1)
                x = block(self.width * multiplier, name=f"up{level}_block{i}")(x, t, train)
            if x.shape[1] in self.attention:
                x = AttentionBlock(name=f"up{level}_attention", **types)(x)
            if level > 0:
                x = block(x.shape[-1], resize=up, name=f"upsample{level}")(x, t, train)

        x = nn.swish(group_norm(x, **types)(name="norm_out")(x))
        return exact(nn.Conv(channels * self.outputs, (3, 3), kernel_init=zeros, name="conv_out", **types)(x))


# diffusers' names of a block. diffusers has another network as a whole: it adds the images in other places.
BLOCK = Port(names={r"^time/": "time_emb_proj/", r"^shortcut/": "conv_shortcut/"})
