"""Branches of convolutions over one map, concatenated. Szegedy et al., CVPR 2015, section 4."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

# A convolution: channels, height and width of the window, and where they are not 1 and "SAME" strides and padding.
Window = tuple[int, int, int] | tuple[int, int, int, int, str]
# A step of a branch: a convolution, several that are concatenated, or a pooling.
Step = Window | tuple[Window, ...] | Callable

HALVING = (2, "VALID")
halve = partial(nn.max_pool, window_shape=(3, 3), strides=(2, 2))
average = partial(nn.avg_pool, window_shape=(3, 3), padding="SAME", count_include_pad=False)


class ConvNormReLU(nn.Module):
    """Convolution, normalisation, ReLU."""

    conv: Any
    norm: Any
    width: float  # factor of the channels
    channels: int
    height: int
    across: int
    strides: int = 1
    padding: str = "SAME"

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H', W', channels · width]."""
        channels = max(1, int(self.channels * self.width))
        x = self.conv(channels, (self.height, self.across), self.strides, padding=self.padding, name="conv")(x)
        return nn.relu(self.norm(name="bn")(x))


class Branches(nn.Module):
    """The outputs of all branches, concatenated in their order.

    Step i of branch b has the name "branch{b}_{i}", or "branch{b}" if it is the only one; those of several end in a, b.
    """

    branches: tuple[tuple[Step, ...], ...]
    layer: Any  # constructor of a ConvNormReLU without its window

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H', W', C']."""
        outputs = []
        for b, steps in enumerate(self.branches):
            y = x
            for i, step in enumerate(steps):
                name = f"branch{b}_{i}" if len(steps) > 1 else f"branch{b}"
                if callable(step):
                    y = step(y)
                elif isinstance(step[0], tuple):
                    y = jnp.concatenate([self.layer(*side, name=name + "ab"[k])(y) for k, side in enumerate(step)], -1)
                else:
                    y = self.layer(*step, name=name)(y)
            outputs.append(y)
        return jnp.concatenate(outputs, -1)
