"""CBAM: attention over channels, then over positions. Woo, Park, Lee, Kweon, ECCV 2018, section 3."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp


def largest(x, axis: int):
    """x.max(axis, keepdims=True), whose gradient goes to the first of equals.

    That of `max` goes to the elements equal to it. If XLA computes x twice, and rounds it twice, there may be none: the
    gradient is then 0/0.
    """
    return jnp.take_along_axis(x, x.argmax(axis, keepdims=True), axis)


class CBAM(nn.Module):
    """x · channel attention (equation 2), and the result times its spatial attention (equation 3).

    As in the authors' code, BatchNorm follows the 7×7 convolution of the spatial attention.
    """

    hidden: int  # channels between the two layers of the channel attention; the paper: a sixteenth of those of x
    norm: Any  # constructor of a BatchNorm
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H, W, C]."""
        conv = partial(nn.Conv, use_bias=False, dtype=self.dtype, param_dtype=self.param_dtype)
        reduce, expand = conv(self.hidden, (1, 1), name="reduce"), conv(x.shape[-1], (1, 1), name="expand")
        perceptron = lambda pooled: expand(nn.relu(reduce(pooled)))
        positions = x.reshape(len(x), -1, 1, x.shape[-1])
        x = x * nn.sigmoid(perceptron(positions.mean(1, keepdims=True)) + perceptron(largest(positions, 1)))

        pooled = jnp.concatenate([x.mean(-1, keepdims=True), largest(x, -1)], -1)
        return x * nn.sigmoid(self.norm(name="bn")(conv(1, (7, 7), padding=3, name="conv")(pooled)))
