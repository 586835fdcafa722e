"""Affine layers with a nonlinearity between them, for encoders, decoders, generators and critics."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from models.errors import choose
from models.layers.activations import ACTIVATIONS


class MLP(nn.Module):
    """One layer for each of `widths`; an activation follows all but the last."""

    widths: tuple[int, ...]
    activation: str = "relu"  # a name in ACTIVATIONS
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        """x: [..., D] -> [..., widths[-1]]."""
        activation = choose(ACTIVATIONS, "activation", self.activation)
        *hidden, last = [nn.Dense(n, dtype=self.dtype, param_dtype=self.param_dtype) for n in self.widths]
        for layer in hidden:
            x = activation(layer(x))
        return last(x)
