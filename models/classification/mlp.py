"""Multilayer perceptron: affine layers with a nonlinearity between (Rumelhart, Hinton & Williams 1986)."""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import choose
from models.layers.activations import ACTIVATIONS
from models.layers.dropout import Dropout
from models.layers.precision import exact
from models.port import Port


class MLP(nn.Module):
    """`hidden` units per hidden layer, each followed by the activation and dropout; He initialisation."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    hidden: tuple[int, ...] = (512, 512)
    activation: str = "relu"  # a name in ACTIVATIONS
    dropout_rate: float = 0.0
    num_classes: int = 10
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, ...] float -> logits [B, num_classes], or with num_classes=0 {"pre_logits": [B, D]}."""
        activation = choose(ACTIVATIONS, "activation", self.activation)
        dense = partial(
            nn.Dense,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            kernel_init=nn.initializers.variance_scaling(2.0, "fan_in", "normal"),
        )
        x = x.reshape(len(x), -1)
        for i, units in enumerate(self.hidden):
            x = activation(dense(units, name=f"hidden_{i}")(x))
            x = Dropout(self.dropout_rate)(x, train)
        if not self.num_classes:
            return {"pre_logits": x}
        x = dense(self.num_classes, name="output")(x)
        return exact(x)


# torch layers with our names. `dataclasses.replace(port, flattened={"hidden_0": (H, W)})` is for images of C > 1.
PORTS = {"torch": Port()}
