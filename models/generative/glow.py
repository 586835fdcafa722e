"""Glow: an invertible network between images and normal noise (Kingma & Dhariwal 2018).

Kingma & Dhariwal, "Glow: Generative Flow with Invertible 1×1 Convolutions", NeurIPS 2018. Its levels and couplings are
those of RealNVP (Dinh et al. 2017), in which channels are permuted instead.
"""

import math
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from models.errors import ModelError
from models.layers.precision import exact


def squeeze(x):
    """x: [B, 2h, 2w, C] -> [B, h, w, 4C]: each 2×2 pixels become channels."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return x.transpose(0, 1, 3, 5, 2, 4).reshape(batch, height // 2, width // 2, 4 * channels)


def unsqueeze(x):
    """The inverse of `squeeze`."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height, width, channels // 4, 2, 2)
    return x.transpose(0, 1, 4, 2, 5, 3).reshape(batch, 2 * height, 2 * width, channels // 4)


class Network(nn.Module):
    """The two numbers for each value that the rest of the channels decides; both are 0 at first."""

    hidden: int
    features: int
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, h, w, C] -> a, b, each [B, h, w, features]."""
        types, zeros = dict(dtype=self.dtype, param_dtype=self.param_dtype), nn.initializers.zeros
        x = nn.relu(nn.Conv(self.hidden, (3, 3), name="conv1", **types)(x))
        x = nn.relu(nn.Conv(self.hidden, (1, 1), name="conv2", **types)(x))
        x = nn.Conv(2 * self.features, (3, 3), kernel_init=zeros, name="conv3", **types)(x)
        return jnp.split(exact(x), 2, axis=-1)


class Step(nn.Module):
    """A step of flow, figure 2a: a scale and an offset of each channel, a 1×1 convolution, an affine coupling.

    The convolution is W = P L (U + diag(s)) of equation 10, P a fixed permutation, with which it starts.
    """

    channels: int
    hidden: int
    number: int  # which step it is: it chooses P
    dtype: Any
    param_dtype: Any

    def setup(self):
        zeros, (c, kind) = nn.initializers.zeros, (self.channels, self.param_dtype)
        self.offset = self.param("offset", zeros, (c,), kind)
        self.log_scale = self.param("log_scale", zeros, (c,), kind)
        self.lower = self.param("lower", zeros, (c, c), kind)
        self.upper = self.param("upper", zeros, (c, c), kind)
        self.log_diagonal = self.param("log_diagonal", zeros, (c,), kind)
        self.network = Network(self.hidden, c // 2, self.dtype, self.param_dtype)

    def forward(self, x):
        """x: [B, h, w, C] -> (y, log |det ∂y/∂x| [B])."""
        lower, upper = self._triangles()
        y = (x + self.offset) * jnp.exp(self.log_scale)
        product = partial(jnp.matmul, precision="highest")  # as exact as the inverse, on accelerators too
        y = product(product(y, upper.T), lower.T)[..., self._permutation()]
        kept, changed = jnp.split(y, 2, axis=-1)
        log_scale, offset = self._coupling(kept)
        changed = (changed + offset) * jnp.exp(log_scale)
        each = (self.log_scale + self.log_diagonal).sum() * x.shape[1] * x.shape[2]
        return jnp.concatenate([kept, changed], -1), each + log_scale.sum((1, 2, 3))

    def inverse(self, y):
        """y: [B, h, w, C] -> x."""
        kept, changed = jnp.split(y, 2, axis=-1)
        log_scale, offset = self._coupling(kept)
        y = jnp.concatenate([kept, changed * jnp.exp(-log_scale) - offset], -1)[..., np.argsort(self._permutation())]
        lower, upper = self._triangles()
        columns = y.reshape(-1, self.channels).T
        columns = solve_triangular(lower, columns, lower=True, unit_diagonal=True)
        x = solve_triangular(upper, columns).T.reshape(y.shape)
        return x * jnp.exp(-self.log_scale) - self.offset

    def _coupling(self, kept):
        """log s and t, with s = σ(a + 2) as in the authors' code."""
        a, offset = self.network(kept)
        return nn.log_sigmoid(a + 2), offset

    def _triangles(self):
        lower = jnp.tril(self.lower, -1) + jnp.eye(self.channels, dtype=self.lower.dtype)
        return lower, jnp.triu(self.upper, 1) + jnp.diag(jnp.exp(self.log_diagonal))

    def _permutation(self):
        return np.random.RandomState(self.number).permutation(self.channels)


class Glow(nn.Module):
    """A `models.interfaces.Codec`, exact both ways: z [B, H·W·C] is normal noise where x is an image of the model.

    Each level squeezes, takes its steps, and gives half of its channels to z (figure 2b), as how far they are from
    what the other half predicts for them.
    """

    conditions: ClassVar[tuple[str, ...]] = ()

    shape: tuple[int, int, int] = (32, 32, 3)  # H, W, C of an image
    levels: int = 3
    steps: int = 32  # of each level
    hidden: int = 512
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @property
    def latent(self) -> int:
        return math.prod(self.shape)

    def setup(self):
        height, width, channels = self.shape
        if height % 2**self.levels or width % 2**self.levels:
            raise ModelError(f"{height}×{width} cannot be halved {self.levels} times")
        types, flows, priors = dict(dtype=self.dtype, param_dtype=self.param_dtype), [], []
        for level in range(self.levels):
            channels *= 4
            numbers = range(level * self.steps, (level + 1) * self.steps)
            flows.append([Step(channels, self.hidden, number, **types) for number in numbers])
            channels //= 2
            priors.append(Network(self.hidden, channels, **types))
        # The last level keeps its channels.
        self.flows, self.priors = flows, priors[:-1]

    def forward(self, x):
        """x: [B, H, W, C] -> (z [B, H·W·C], log |det ∂z/∂x| [B])."""
        codes, log_det = [], jnp.zeros(len(x), x.dtype)
        for level, flow in enumerate(self.flows):
            x = squeeze(x)
            for step in flow:
                x, change = step.forward(x)
                log_det += change
            if level < self.levels - 1:
                x, given = jnp.split(x, 2, axis=-1)
                log_scale, mean = self.priors[level](x)
                codes.append(((given - mean) * jnp.exp(-log_scale)).reshape(len(x), -1))
                log_det -= log_scale.sum((1, 2, 3))
        return jnp.concatenate([*codes, x.reshape(len(x), -1)], 1), log_det

    def encode(self, x):
        """x: [B, H, W, C] -> z [B, H·W·C]."""
        return self.forward(x)[0]

    def decode(self, z):
        """z: [B, H·W·C] -> x [B, H, W, C]."""
        height, width, _ = self.shape
        sizes = [self.latent // 2 ** (level + 1) for level in range(self.levels - 1)]
        *codes, x = jnp.split(z, np.cumsum(sizes), axis=1)
        scale = 2**self.levels
        x = x.reshape(len(z), height // scale, width // scale, -1)
        for level in reversed(range(self.levels)):
            if level < self.levels - 1:
                log_scale, mean = self.priors[level](x)
                x = jnp.concatenate([x, mean + jnp.exp(log_scale) * codes[level].reshape(x.shape)], -1)
            for step in reversed(self.flows[level]):
                x = step.inverse(x)
            x = unsqueeze(x)
        return x

    def __call__(self, x, train: bool = False):
        """x: [B, H, W, C] -> z [B, H·W·C], in training or not."""
        return self.encode(x)
