"""CVAE: the missing part of an image, from the visible part and a code (Sohn et al. 2015).

Sohn, Lee & Yan, "Learning Structured Output Representation using Deep Conditional Generative Models", NeurIPS 2015. It
is the paper's recurrent form: a first guess is what the prior is conditioned on. The losses are in
training/tasks/cvae.py.
"""

import math
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.layers.mlp import MLP
from models.layers.precision import exact


class CVAE(nn.Module):
    """Affine layers for the guess, the prior p(z|x), the posterior q(z|x, y) and the decoder p(y|z)."""

    conditions: ClassVar[tuple[str, ...]] = ()

    shape: tuple[int, int, int] = (28, 28, 1)  # H, W, C of an image
    dim: int = 200  # of z
    hidden: tuple[int, ...] = (500, 500)
    activation: str = "relu"  # a name in ACTIVATIONS
    dtype: Any = None
    param_dtype: Any = jnp.float32

    def setup(self):
        size = math.prod(self.shape)
        mlp = partial(MLP, activation=self.activation, dtype=self.dtype, param_dtype=self.param_dtype)
        self.guesser = mlp((*self.hidden, size))
        self.prior_net = mlp((*self.hidden, 2 * self.dim))
        self.posterior_net = mlp((*self.hidden, 2 * self.dim))
        self.decoder = mlp((*self.hidden, size))

    def guess(self, seen):
        """seen: [B, H, W, C], −1 where nothing is seen -> logits of the whole image [B, H, W, C]."""
        return exact(self.guesser(seen.reshape(len(seen), -1))).reshape(-1, *self.shape)

    def prior(self, seen, guess):
        """What is seen and a guess, each [B, H, W, C] -> mean and log-variance of p(z|x), [B, dim] each."""
        return self._gaussian(self.prior_net, seen, guess)

    def posterior(self, seen, image):
        """What is seen and the whole image, each [B, H, W, C] -> those of q(z|x, y)."""
        return self._gaussian(self.posterior_net, seen, image)

    def decode(self, z):
        """z: [B, dim] -> logits of the whole image [B, H, W, C]."""
        return exact(self.decoder(z)).reshape(-1, *self.shape)

    def __call__(self, seen, image, train: bool = False):
        """What is seen and the whole image -> the logits of the posterior's mean; it meets every part once."""
        guess = self.guess(seen)
        self.prior(seen, nn.sigmoid(guess))
        return self.decode(self.posterior(seen, image)[0])

    def _gaussian(self, network, *images):
        x = jnp.concatenate([image.reshape(len(image), -1) for image in images], axis=1)
        return jnp.split(exact(network(x)), 2, axis=-1)
