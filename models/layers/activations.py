"""The activation functions that a page may name: one table for all networks."""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp


def scaled_tanh(x):
    """1.7159 tanh(2x/3): f(±1) = ±1, where the curvature is largest. LeCun et al. 1998, appendix A."""
    return 1.7159 * jnp.tanh(2 / 3 * x)


ACTIVATIONS = {
    "linear": lambda x: x,
    "relu": nn.relu,
    "relu6": nn.relu6,
    "gelu": partial(nn.gelu, approximate=False),
    "swish": nn.swish,
    "hard_swish": nn.hard_swish,
    "hard_sigmoid": nn.hard_sigmoid,
    "sigmoid": nn.sigmoid,
    "tanh": nn.tanh,
    "scaled_tanh": scaled_tanh,
}
