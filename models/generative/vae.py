"""VAE: an encoder to a Gaussian over codes, a decoder to a distribution over images (Kingma & Welling 2014).

Kingma & Welling, "Auto-Encoding Variational Bayes", ICLR 2014, appendix C. The loss is in
training/tasks/vae.py.
"""

import math
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError
from models.layers.conv import ConvTranspose
from models.layers.mlp import MLP
from models.layers.precision import exact


class ConvEncoder(nn.Module):
    """Halves the image with each width, then an affine layer."""

    widths: tuple[int, ...]
    features: int
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, features]."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        for width in self.widths:
            x = nn.relu(nn.Conv(width, (4, 4), strides=2, **types)(x))
        return nn.Dense(self.features, **types)(x.reshape(x.shape[0], -1))


class ConvDecoder(nn.Module):
    """The encoder's mirror image."""

    widths: tuple[int, ...]
    shape: tuple[int, int, int]
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, z):
        """z: [..., latent] -> [N, *shape] of N codes."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        height, width, channels = self.shape
        scale = 2 ** len(self.widths)
        start = (height // scale, width // scale, self.widths[-1])
        x = nn.relu(nn.Dense(math.prod(start), **types)(z)).reshape(-1, *start)
        for features in self.widths[-2::-1]:
            x = nn.relu(ConvTranspose(features, (4, 4), strides=(2, 2), **types)(x))
        return ConvTranspose(channels, (4, 4), strides=(2, 2), **types)(x)


class Autoencoder(nn.Module):
    """Base of the VAEs: a `models.interfaces.Codec`.

    A subclass's `setup` makes `encoder` and `decoder`.
    """

    conditions: ClassVar[tuple[str, ...]] = ()

    shape: tuple[int, int, int] = (28, 28, 1)  # H, W, C of an image
    latent: int = 20
    outputs: int = 1  # numbers that the likelihood takes per pixel and channel: a logit, or mean and log-scale
    dtype: Any = None
    param_dtype: Any = jnp.float32

    def encode(self, x):
        """x: [B, H, W, C] -> mean and logarithm of the variance of q(z|x), each [B, latent]."""
        return jnp.split(exact(self.encoder(x)), 2, axis=-1)

    def decode(self, z):
        """z: [..., latent] -> [..., H, W, outputs·C], unbounded, for a likelihood to make p(x|z) from."""
        height, width, channels = self.shape
        return exact(self.decoder(z)).reshape(*z.shape[:-1], height, width, self.outputs * channels)

    def __call__(self, x, train: bool = False):
        """x: [B, H, W, C] -> what the mean of q(z|x) decodes to, in training or not."""
        mean, _ = self.encode(x)
        return self.decode(mean)


class VAE(Autoencoder):
    """The paper's fully connected network; the defaults are 784-500-20."""

    hidden: tuple[int, ...] = (500,)
    activation: str = "tanh"  # a name in ACTIVATIONS

    def setup(self):
        mlp = partial(MLP, activation=self.activation, dtype=self.dtype, param_dtype=self.param_dtype)
        self.encoder = mlp((*self.hidden, 2 * self.latent))
        self.decoder = mlp((*self.hidden[::-1], self.outputs * math.prod(self.shape)))

    def encode(self, x):
        """x: [B, H, W, C] -> mean and logarithm of the variance of q(z|x), each [B, latent]."""
        return super().encode(x.reshape(len(x), -1))


class ConvVAE(Autoencoder):
    """The same with convolutions that halve the image once for each width, which must divide its sides."""

    widths: tuple[int, ...] = (32, 64)

    def setup(self):
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        height, width, channels = self.shape
        scale = 2 ** len(self.widths)
        if height % scale or width % scale:
            raise ModelError(f"{height}×{width} cannot be halved {len(self.widths)} times")
        self.encoder = ConvEncoder(self.widths, 2 * self.latent, **types)
        self.decoder = ConvDecoder(self.widths, (height, width, self.outputs * channels), **types)
