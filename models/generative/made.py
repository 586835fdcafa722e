"""MADE: an autoencoder whose masks leave each output only the inputs before it (Germain et al. 2015).

Germain, Gregor, Murray & Larochelle, "MADE: Masked Autoencoder for Distribution Estimation", ICML 2015.
"""

import itertools
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.dtypes import promote_dtype

from models.errors import ModelError
from models.layers.precision import exact


class MaskedDense(nn.Module):
    """An affine layer in which unit k reads unit j only where mask[j, k]."""

    mask: np.ndarray  # [D, features] bool
    dtype: Any
    param_dtype: Any

    def setup(self):
        self.kernel = self.param("kernel", nn.initializers.lecun_normal(), self.mask.shape, self.param_dtype)
        self.bias = self.param("bias", nn.initializers.zeros, self.mask.shape[1:], self.param_dtype)

    def weights(self):
        """(masked kernel [D, features], bias [features]), as they are computed with."""
        return promote_dtype(jnp.where(self.mask, self.kernel, 0), self.bias, dtype=self.dtype)

    def __call__(self, x):
        """x: [B, D] -> [B, features]."""
        kernel, bias = self.weights()
        return x.astype(kernel.dtype) @ kernel + bias


class MADE(nn.Module):
    """ReLU layers between masks of equations 8 and 9; the inputs are in the order of reading, and the masks are fixed.

    A hidden unit has a degree m, drawn uniformly as in section 3: it reads the inputs 1, …, m, by way of units of no
    larger degree. Output d reads units whose degree is below d.
    """

    conditions: ClassVar[tuple[str, ...]] = ()

    shape: tuple[int, int, int] = (28, 28, 1)  # H, W, C of an image
    hidden: tuple[int, ...] = (8000,)
    outputs: int = 1  # logits of each value: 1 for two values, otherwise one for each of them
    dtype: Any = None
    param_dtype: Any = jnp.float32

    def setup(self):
        if not self.hidden:
            raise ModelError("hidden=(): the masks need a hidden layer")
        random, count = np.random.RandomState(0), int(np.prod(self.shape))
        degrees = [np.arange(1, count + 1)]
        for width in self.hidden:
            degrees.append(random.randint(min(degrees[-1].min(), count - 1), max(count, 2), width))
        masks = [before[:, None] <= after for before, after in itertools.pairwise(degrees)]
        masks.append(np.repeat(degrees[-1][:, None] < degrees[0], self.outputs, axis=1))
        self.layers = [MaskedDense(mask, self.dtype, self.param_dtype) for mask in masks]

    def __call__(self, x, train: bool):
        """x: [B, H, W, C] -> [B, H, W, C·outputs]: the numbers of each value, from the values before it."""
        first, *_ = self.layers
        outputs = self._output(first(x.reshape(len(x), -1)))
        return exact(outputs).reshape(*x.shape[:3], -1)

    @nn.compact
    def step(self, x, position):
        """x: [B, H, W, C], right before `position` [] int32 -> [B, outputs] of that value.

        The cache holds the first layer's sums, to which each call adds the value before its position.
        """
        x = x.reshape(len(x), -1)
        kernel, bias = self.layers[0].weights()
        sums = self.variable("cache", "sums", jnp.broadcast_to, bias, (len(x), len(bias)))
        before = jnp.maximum(position - 1, 0)
        start = jnp.broadcast_to(bias, sums.value.shape)
        added = sums.value + x[:, before, None].astype(kernel.dtype) * kernel[before]
        sums.value = jnp.where(position == 0, start, added)
        return exact(self._output(sums.value, position))

    def _output(self, x, position=None):
        """The outputs of all positions, or of one, given the first layer's sums [B, hidden]."""
        *inner, last = self.layers[1:]
        for layer in inner:
            x = layer(nn.relu(x))
        if position is None:
            return last(nn.relu(x))
        own = [jax.lax.dynamic_slice_in_dim(w, position * self.outputs, self.outputs, -1) for w in last.weights()]
        return nn.relu(x) @ own[0] + own[1]
