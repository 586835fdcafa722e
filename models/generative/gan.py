"""GAN of affine layers: a generator and its adversary (Goodfellow et al. 2014).

Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014. The widths are those of Gulrajani et al.,
"Improved Training of Wasserstein GANs", NeurIPS 2017, for mixtures of Gaussians in the plane.
"""

import math
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from models.errors import choose
from models.layers.activations import ACTIVATIONS
from models.layers.mlp import MLP
from models.layers.precision import exact


def condition(x, label, num_classes: int):
    """x: [B, D], label: [B] int -> [B, D + num_classes], the label one-hot. Mirza & Osindero 2014."""
    return jnp.concatenate([x, jax.nn.one_hot(label, num_classes, dtype=x.dtype)], axis=-1)


class Generator(nn.Module):
    """Noise to an image."""

    shape: tuple[int, ...] = (28, 28, 1)  # H, W, C of an image
    latent: int = 2
    hidden: tuple[int, ...] = (512, 512, 512)
    output: str = "linear"  # a name in ACTIVATIONS
    conditional: bool = False
    num_classes: int = 10  # read when conditional
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @property
    def conditions(self) -> tuple[str, ...]:
        return ("label",) if self.conditional else ()

    @nn.compact
    def __call__(self, z, train: bool, label=None):
        """z: [B, latent]; label: [B] int if conditional -> [B, *shape]."""
        if self.conditional:
            z = condition(z, label, self.num_classes)
        widths = (*self.hidden, math.prod(self.shape))
        x = MLP(widths, dtype=self.dtype, param_dtype=self.param_dtype)(z)
        x = choose(ACTIVATIONS, "output", self.output)(exact(x))
        return x.reshape(len(x), *self.shape)


class Discriminator(nn.Module):
    """An image to a score: a logit of "real", or the value of a critic."""

    hidden: tuple[int, ...] = (512, 512, 512)
    conditional: bool = False
    num_classes: int = 10  # read when conditional
    headless: bool = False  # True: what it reads is the answer
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @property
    def conditions(self) -> tuple[str, ...]:
        return ("label",) if self.conditional else ()

    @nn.compact
    def __call__(self, x, train: bool, label=None):
        """x: [B, ...]; label: [B] int if conditional -> [B], or without a head {"pre_logits": [B, D]}."""
        x = x.reshape(len(x), -1)
        if self.conditional:
            x = condition(x, label, self.num_classes)
        mlp = partial(MLP, dtype=self.dtype, param_dtype=self.param_dtype)
        if self.headless:
            return {"pre_logits": nn.relu(mlp(self.hidden)(x))}
        return exact(mlp((*self.hidden, 1))(x)[:, 0])
