"""The U-Net of denoising diffusion, which predicts the noise in a noisy image (Ho et al. 2020).

Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020, appendix B and the authors' code. The fields
`heads`, `scale_shift` and `outputs` make the network of Nichol & Dhariwal, "Improved Denoising Diffusion Probabilistic
Models", ICML 2021, but for its waves of time.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError
from models.layers.attention import SelfAttention
from models.layers.dropout import Dropout
from models.layers.norm import norm as normalisation
from models.layers.precision import exact
from models.port import Port

uniform = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")
zeros = nn.initializers.zeros


def group_norm(groups: int, **types):
    """The constructor of all normalisations here; they are alike in training and in evaluation."""
    return normalisation("group", False, None, num_groups=groups, epsilon=1e-6, **types)


def time_embedding(time, features):
    """time: [B] -> [B, features]: sines, then cosines, of frequencies from 1 down to 1/10,000 inclusive."""
    half = features // 2
    frequencies = jnp.exp(-jnp.log(10_000.0) * jnp.arange(half) / (half - 1))
    angles = time[:, None] * frequencies
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


class ResBlock(nn.Module):
    """norm, swish, conv, twice, with the time added in between; the identity at initialisation."""

    features: int
    dropout_rate: float
    groups: int
    scale_shift: bool
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x, time, train: bool):
        """x: [B, H, W, C]; time: [B, D] -> [B, H, W, features]."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        norm = group_norm(self.groups, **types)
        conv = partial(nn.Conv, self.features, **types)

        y = conv((3, 3), kernel_init=uniform, name="conv1")(nn.swish(norm(name="norm1")(x)))
        numbers = self.features * (1 + self.scale_shift)
        time = nn.Dense(numbers, kernel_init=uniform, name="time", **types)(nn.swish(time))[:, None, None]
        if self.scale_shift:
            scale, shift = jnp.split(time, 2, -1)
            y = norm(name="norm2")(y) * (1 + scale) + shift
        else:
            y = norm(name="norm2")(y + time)
        y = Dropout(self.dropout_rate)(nn.swish(y), train)
        y = conv((3, 3), kernel_init=zeros, name="conv2")(y)
        if x.shape[-1] != self.features:
            x = conv((1, 1), kernel_init=uniform, name="shortcut")(x)
        return x + y


class AttentionBlock(nn.Module):
    """x + attention(norm(x)) over all pixels; the identity at initialisation."""

    groups: int
    heads: int
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H, W, C]."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        y = group_norm(self.groups, **types)(name="norm")(x)
        y = y.reshape(x.shape[0], -1, x.shape[-1])
        y = SelfAttention(self.heads, kernel_init=uniform, out_init=zeros, name="attention", **types)(y)
        return x + y.reshape(x.shape)


class DDPMUNet(nn.Module):
    """A level for each multiplier; every block of the way down is joined to one of the way up.

    The defaults are the paper's CIFAR-10 network. A conditional one has one label more than classes: `null`
    means "any" and replaces a missing label, as classifier-free guidance needs (Ho & Salimans 2022).
    """

    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 2, 2)
    blocks: int = 2  # residual blocks of a level on the way down; one more on the way up
    attention: tuple[int, ...] = (16,)  # the resolutions whose every block is followed by attention
    dropout_rate: float = 0.1
    groups: int = 32  # of the normalisations; divides every width
    heads: int = 1  # of the attention
    scale_shift: bool = False  # the time scales and shifts the second normalisation of a block, instead of being added
    outputs: int = 1  # for each channel of the image; 2: with the mixture of a learned variance
    conditional: bool = False
    remat: bool = False  # compute each block again in the backward pass instead of keeping it
    num_classes: int = 10  # read when conditional
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @property
    def null(self) -> int:
        """The label that means "any class"."""
        return self.num_classes

    @property
    def conditions(self) -> tuple[str, ...]:
        return ("label",) if self.conditional else ()

    @nn.compact
    def __call__(self, x, time, train: bool, label=None):
        """x: [B, H, W, C], H and W multiples of 2^(levels - 1); time: [B]; label: [B] int -> [B, H, W, outputs·C]."""
        channels, scale = x.shape[-1], 2 ** (len(self.multipliers) - 1)
        if x.shape[1] % scale or x.shape[2] % scale:
            raise ModelError(f"{x.shape[1]}×{x.shape[2]} cannot be halved {len(self.multipliers) - 1} times")
        if label is not None and not self.conditional:
            raise ModelError("the network is not conditional, so it takes no label")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        dense = partial(nn.Dense, 4 * self.width, kernel_init=uniform, **types)
        conv = partial(nn.Conv, kernel_size=(3, 3), kernel_init=uniform, **types)
        Block = nn.remat(ResBlock, static_argnums=(3,)) if self.remat else ResBlock
        fields = dict(dropout_rate=self.dropout_rate, groups=self.groups, scale_shift=self.scale_shift)
        block = partial(Block, **fields, **types)
        attention = partial(AttentionBlock, self.groups, self.heads, **types)

        t = dense(name="time1")(time_embedding(time, self.width))
        t = dense(name="time2")(nn.swish(t))
        if self.conditional:
            label = jnp.full(x.shape[0], self.null) if label is None else label
            t += nn.Embed(self.num_classes + 1, 4 * self.width, name="label", **types)(label)

        x = conv(self.width, name="conv_in")(x)
        skips = [x]
        for level, multiplier in enumerate(self.multipliers):
            for i in range(self.blocks):
                x = block(self.width * multiplier, name=f"down{level}_block{i}")(x, t, train)
                if x.shape[1] in self.attention:
                    x = attention(name=f"down{level}_attention{i}")(x)
                skips.append(x)
            if level < len(self.multipliers) - 1:
                # TensorFlow's SAME: an even image is padded at its bottom and right alone.
                x = conv(x.shape[-1], strides=2, padding=((0, 1), (0, 1)), name=f"downsample{level}")(x)
                skips.append(x)

        x = block(x.shape[-1], name="middle_block0")(x, t, train)
        x = attention(name="middle_attention")(x)
        x = block(x.shape[-1], name="middle_block1")(x, t, train)

        for level, multiplier in enumerate(reversed(self.multipliers)):
            for i in range(self.blocks + 1):
                x = jnp.concatenate([x, skips.pop()], axis=-1)
                x = block(self.width * multiplier, name=f"up{level}_block{i}")(x, t, train)
                if x.shape[1] in self.attention:
                    x = attention(name=f"up{level}_attention{i}")(x)
            if level < len(self.multipliers) - 1:
                x = x.repeat(2, axis=1).repeat(2, axis=2)
                x = conv(x.shape[-1], name=f"upsample{level}")(x)

        x = nn.swish(group_norm(self.groups, **types)(name="norm_out")(x))
        x = conv(channels * self.outputs, kernel_init=zeros, name="conv_out")(x)
        return exact(x)


PORTS = {
    "diffusers": Port(
        names={
            r"/time/": "/time_emb_proj/",
            r"/shortcut/": "/conv_shortcut/",
            r"/norm/": "/group_norm/",
            r"/attention/(q|k|v)\w+/": r"/to_\1/",
            r"/attention/out/": "/to_out/0/",
            r"^(down|up)(\d+)_block(\d+)/": r"\1_blocks/\2/resnets/\3/",
            r"^(down|up)(\d+)_attention(\d+)/": r"\1_blocks/\2/attentions/\3/",
            r"^(down|up)sample(\d+)/": r"\1_blocks/\2/\1samplers/0/conv/",
            r"^middle_block(\d)/": r"mid_block/resnets/\1/",
            r"^middle_attention/": "mid_block/attentions/0/",
            r"^time(\d)/": r"time_embedding/linear_\1/",
            r"^label/": "class_embedding/",
            r"^norm_out/": "conv_norm_out/",
        }
    )
}
