"""DCGAN: strided convolutions down, transposed ones up, no fully connected layer (Radford et al. 2016).

Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks", ICLR 2016. Without batch statistics the discriminator serves as the critic of Gulrajani et al.,
"Improved Training of Wasserstein GANs", NeurIPS 2017, whose penalty needs the gradient of each example alone.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from models.errors import ModelError
from models.generative.gan import condition
from models.layers.conv import ConvTranspose
from models.layers.norm import norm as normalisation
from models.layers.precision import exact
from models.port import Port

kernel_init = nn.initializers.normal(0.02)


def scale_init(key, shape, dtype=jnp.float32):
    """Around one as the kernels are around zero."""
    return 1 + kernel_init(key, shape, dtype)


# Fields of the normalisations. "layer" is over a whole example, with a scale and an offset for each channel.
NORM_FIELDS = {"batch": {"scale_init": scale_init}, "layer": {"reduction_axes": (1, 2, 3)}}


def halvings(height: int, width: int) -> int:
    """How often to halve an image until the smaller side is 4, or odd: 64 -> 4, 32 -> 3, 28 -> 2."""
    count = 0
    while height % 2 == 0 and width % 2 == 0 and min(height, width) > 4:
        height, width, count = height // 2, width // 2, count + 1
    if count == 0:
        raise ModelError(f"images of {height}×{width} cannot be halved")
    return count


class Generator(nn.Module):
    """Noise to an image in [-1, 1], twice as large and half as deep with every layer."""

    shape: tuple[int, int, int] = (64, 64, 3)  # H, W, C of an image
    latent: int = 100
    width: int = 64  # channels of the last layer but one
    conditional: bool = False
    num_classes: int = 10  # read when conditional
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @property
    def conditions(self) -> tuple[str, ...]:
        return ("label",) if self.conditional else ()

    @nn.compact
    def __call__(self, z, train: bool, label=None):
        """z: [B, latent]; label: [B] int if conditional -> [B, *shape]."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        norm = normalisation("batch", train, self.axis_name, **types, **NORM_FIELDS["batch"])
        deconv = partial(ConvTranspose, use_bias=False, kernel_init=kernel_init, **types)
        height, width, channels = self.shape
        count = halvings(height, width)

        if self.conditional:
            z = condition(z, label, self.num_classes)
        start = (height >> count, width >> count)
        x = deconv(self.width << (count - 1), start, padding="VALID", name="deconv0")(z[:, None, None])
        x = nn.relu(norm(name="norm0")(x))
        for i in range(1, count):
            x = deconv(self.width << (count - 1 - i), (4, 4), strides=(2, 2), name=f"deconv{i}")(x)
            x = nn.relu(norm(name=f"norm{i}")(x))
        x = deconv(channels, (4, 4), strides=(2, 2), name=f"deconv{count}")(x)
        return nn.tanh(exact(x))


class Discriminator(nn.Module):
    """An image to a score: a logit of "real", or the value of a critic."""

    width: int = 64  # channels of the first layer; each layer has twice as many as the one before
    norm: str = "batch"  # a name in NORMS
    conditional: bool = False
    num_classes: int = 10  # read when conditional
    headless: bool = False  # True: the maps are the answer
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @property
    def conditions(self) -> tuple[str, ...]:
        return ("label",) if self.conditional else ()

    @nn.compact
    def __call__(self, x, train: bool, label=None):
        """x: [B, H, W, C]; label: [B] int if conditional -> [B], or without a head {"stage1": map, ...}."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        norm = normalisation(self.norm, train, self.axis_name, **types, **NORM_FIELDS.get(self.norm, {}))
        conv = partial(nn.Conv, use_bias=self.norm != "batch", kernel_init=kernel_init, **types)
        count = halvings(*x.shape[1:3])

        if self.conditional:  # one more plane for each class, ones in that of the label
            planes = jax.nn.one_hot(label, self.num_classes, dtype=x.dtype)[:, None, None]
            x = jnp.concatenate([x, jnp.broadcast_to(planes, (*x.shape[:3], self.num_classes))], axis=-1)
        maps = {}
        for i in range(count):
            x = conv(self.width << i, (4, 4), strides=2, padding=1, name=f"conv{i}")(x)
            if i > 0:  # the first layer normalises nothing
                x = norm(name=f"norm{i}")(x)
            x = maps[f"stage{i + 1}"] = nn.leaky_relu(x, 0.2)
        if self.headless:
            return maps
        x = conv(1, x.shape[1:3], padding="VALID", name=f"conv{count}")(x)
        return exact(x[:, 0, 0, 0])


def _layer(slope: int, offset: int):
    """The replacement of a layer's number i: its place slope · i + offset in their nn.Sequential, 0 for the first."""
    return lambda match: f"main/{max(slope * int(match[1]) + offset, 0)}/"


# https://github.com/pytorch/examples/tree/main/dcgan
PORTS = {
    "examples_generator": Port(names={r"^deconv(\d+)/": _layer(3, 0), r"^norm(\d+)/": _layer(3, 1)}),
    "examples_discriminator": Port(names={r"^conv(\d+)/": _layer(3, -1), r"^norm(\d+)/": _layer(3, 0)}),
}
