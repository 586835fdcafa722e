"""Squeeze and excitation: channels weighted by what the whole map shows. Hu, Shen, Sun, CVPR 2018, section 3."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from models.errors import choose
from models.layers.activations import ACTIVATIONS


class SqueezeExcite(nn.Module):
    """x · gate(W₂ activation(W₁ mean(x))): equations 2 to 4, with biases, as 1×1 convolutions."""

    hidden: int  # channels between the two; the paper: a sixteenth of those of x
    activation: str = "relu"  # names in ACTIVATIONS
    gate: str = "sigmoid"
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H, W, C]."""
        activation, gate = choose(ACTIVATIONS, "activation", self.activation), choose(ACTIVATIONS, "gate", self.gate)
        conv = partial(nn.Conv, kernel_size=(1, 1), dtype=self.dtype, param_dtype=self.param_dtype)
        squeezed = x.mean((1, 2), keepdims=True)
        return x * gate(conv(x.shape[-1], name="expand")(activation(conv(self.hidden, name="reduce")(squeezed))))
