"""Autoencoders: an image through a narrow code and back (Hinton & Salakhutdinov 2006).

Hinton & Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks", Science 2006. Without hidden layers
the network is affine both ways, and what it can keep is what principal components keep (Baldi & Hornik 1989). The
losses are in training/tasks/autoencoder.py.
"""

import math
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError
from models.layers.conv import ConvTranspose
from models.layers.mlp import MLP
from models.layers.precision import exact


class Halvings(nn.Module):
    """A 4×4 convolution that halves the image for each width, with ReLU."""

    widths: tuple[int, ...]
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, h, w, widths[-1]]."""
        for width in self.widths:
            x = nn.relu(nn.Conv(width, (4, 4), strides=2, dtype=self.dtype, param_dtype=self.param_dtype)(x))
        return x


class Doublings(nn.Module):
    """A 4×4 transposed convolution that doubles the map for each width, with ReLU but for the last."""

    widths: tuple[int, ...]
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, h, w, D] -> [B, H, W, widths[-1]]."""
        for i, width in enumerate(self.widths):
            x = nn.relu(x) if i else x
            x = ConvTranspose(width, (4, 4), (2, 2), dtype=self.dtype, param_dtype=self.param_dtype)(x)
        return x


class Autoencoder(nn.Module):
    """A `models.interfaces.Codec`: convolutions for `widths`, affine layers for `hidden`, the code; and the mirror."""

    conditions: ClassVar[tuple[str, ...]] = ()

    shape: tuple[int, int, int] = (28, 28, 1)  # H, W, C of an image
    latent: int = 32
    hidden: tuple[int, ...] = ()
    widths: tuple[int, ...] = ()
    activation: str = "relu"  # of the affine layers, a name in ACTIVATIONS
    dtype: Any = None
    param_dtype: Any = jnp.float32

    def setup(self):
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        height, width, channels = self.shape
        scale = 2 ** len(self.widths)
        if height % scale or width % scale:
            raise ModelError(f"{height}×{width} cannot be halved {len(self.widths)} times")
        self.map = (height // scale, width // scale, self.widths[-1] if self.widths else channels)
        self.encoder = MLP((*self.hidden, self.latent), self.activation, **types)
        self.decoder = MLP((*self.hidden[::-1], math.prod(self.map)), self.activation, **types)
        if self.widths:
            self.down = Halvings(self.widths, **types)
            self.up = Doublings((*self.widths[-2::-1], channels), **types)

    def encode(self, x):
        """x: [B, H, W, C] -> codes [B, latent]."""
        x = self.down(x) if self.widths else x
        return exact(self.encoder(x.reshape(len(x), -1)))

    def decode(self, z):
        """z: [B, latent] -> images [B, H, W, C], unbounded."""
        x = self.decoder(z).reshape(len(z), *self.map)
        return exact(self.up(nn.relu(x)) if self.widths else x)

    def __call__(self, x, train: bool = False):
        """x: [B, H, W, C] -> what its code decodes to, in training or not."""
        return self.decode(self.encode(x))
