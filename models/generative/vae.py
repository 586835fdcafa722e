"""Variational autoencoder: an encoder to a Gaussian over codes and a decoder to a distribution over images.

Kingma & Welling, "Auto-Encoding Variational Bayes", ICLR 2014, appendix C; the losses are a task's affair.
"""

import math
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

ACTIVATIONS = {"tanh": nn.tanh, "relu": nn.relu}


class MLP(nn.Module):
    """Linear layers with an activation between them, none at the end: `[..., D]` → `[..., widths[-1]]`."""

    widths: tuple[int, ...]
    activation: str
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x):
        *hidden, last = [nn.Dense(n, dtype=self.dtype, param_dtype=self.param_dtype) for n in self.widths]
        for layer in hidden:
            x = ACTIVATIONS[self.activation](layer(x))
        return last(x)


class ConvEncoder(nn.Module):
    """Halves the image with each width, then a linear layer: `[B, H, W, C]` → `[B, features]`."""

    widths: tuple[int, ...]
    features: int
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x):
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        for width in self.widths:
            x = nn.relu(nn.Conv(width, (4, 4), strides=2, **types)(x))
        return nn.Dense(self.features, **types)(x.reshape(x.shape[0], -1))


class ConvDecoder(nn.Module):
    """The encoder's mirror image: `[..., latent]` → `[..., H, W, channels]`."""

    widths: tuple[int, ...]
    shape: tuple[int, int, int]
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, z):
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        height, width, channels = self.shape
        scale = 2 ** len(self.widths)
        start = (height // scale, width // scale, self.widths[-1])
        x = nn.relu(nn.Dense(math.prod(start), **types)(z)).reshape(*z.shape[:-1], *start)
        for features in self.widths[-2::-1]:
            x = nn.relu(nn.ConvTranspose(features, (4, 4), strides=(2, 2), **types)(x))
        return nn.ConvTranspose(channels, (4, 4), strides=(2, 2), **types)(x)


class Autoencoder(nn.Module):
    """What every VAE here offers, for `apply(..., method="encode")` and `method="decode"`.

    A subclass's `setup` makes `encoder`, a map to `[B, 2 latent]`, and `decoder`, a map of `[..., latent]`.
    """

    shape: tuple[int, int, int] = (28, 28, 1)  # H, W, C of an image
    latent: int = 20
    outputs: int = 1  # numbers that the likelihood takes for a pixel's channel: 1 logit, or 2 for mean and log-scale
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def encode(self, x):
        """`[B, H, W, C]` → mean and logarithm of the variance of q(z|x), each `[B, latent]`."""
        return jnp.split(exact(self.encoder(x)), 2, axis=-1)

    def decode(self, z):
        """`[..., latent]` → `[..., H, W, outputs·C]`, unbounded numbers from which a likelihood makes p(x|z)."""
        return exact(self.decoder(z))

    def __call__(self, x, train=False):
        """What the mean of q(z|x) decodes to. Nothing here acts differently in training."""
        return self.decode(self.encode(x)[0])


class VAE(Autoencoder):
    """The paper's fully connected network; the defaults are 784-500-20."""

    hidden: tuple[int, ...] = (500,)
    activation: str = "tanh"

    def setup(self):
        height, width, channels = self.shape
        mlp = partial(MLP, activation=self.activation, dtype=self.dtype, param_dtype=self.param_dtype)
        encoder = mlp((*self.hidden, 2 * self.latent), name="encoder")
        decoder = mlp((*self.hidden[::-1], height * width * channels * self.outputs), name="decoder")
        self.encoder = nn.Sequential([lambda x: x.reshape(x.shape[0], -1), encoder])
        self.decoder = lambda z: decoder(z).reshape(*z.shape[:-1], height, width, channels * self.outputs)


class ConvVAE(Autoencoder):
    """The same with convolutions that halve the image once for each width, which must divide its sides."""

    widths: tuple[int, ...] = (32, 64)

    def setup(self):
        height, width, channels = self.shape
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        self.encoder = ConvEncoder(self.widths, 2 * self.latent, **types)
        self.decoder = ConvDecoder(self.widths, (height, width, channels * self.outputs), **types)


def exact(x):
    """Densities and divergences are computed with in float32 at least."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
