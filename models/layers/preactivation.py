"""Residual blocks with normalisation and ReLU before each convolution. He, Zhang, Ren, Sun, ECCV 2016, section 4."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from models.errors import choose
from models.layers.dropout import Dropout


def subsample(x, y, channels: int, strides: int, conv):
    """Option A: every second pixel of the block's input, zeros for new channels, half on either side. No parameters."""
    new = channels - x.shape[-1]
    return jnp.pad(x[:, ::strides, ::strides], ((0, 0), (0, 0), (0, 0), (new // 2, new - new // 2)))


def project(x, y, channels: int, strides: int, conv):
    """Option B: a strided 1×1 convolution of what the first convolution reads."""
    return conv(channels, (1, 1), strides, padding=0, name="shortcut")(y)


SHORTCUTS = {"A": subsample, "B": project}

# Convolutions of a block for its channels and strides: channels, side of the window and strides of each.
BRANCHES = {
    "basic": lambda channels, strides: ((channels, 3, strides), (channels, 3, 1)),
    "bottleneck": lambda channels, strides: ((channels, 1, 1), (channels, 3, strides), (4 * channels, 1, 1)),
}


class PreActivation(nn.Module):
    """x + F(x), where F is convolutions, each behind a normalisation and a ReLU: figure 4(e).

    The shortcut is x itself, or a key of SHORTCUTS where the shape changes.
    """

    branch: str  # a key of BRANCHES
    channels: int
    strides: int
    conv: Any
    norm: Any
    shortcut: str = "B"
    dropout_rate: float = 0.0  # before the last convolution. Zagoruyko & Komodakis 2016, figure 1(d)

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] -> [B, H/strides, W/strides, channels], or four times as many channels of a bottleneck."""
        convolutions = choose(BRANCHES, "branch", self.branch)(self.channels, self.strides)
        (channels, *_), residual, y = convolutions[-1], x, x
        for i, (width, side, strides) in enumerate(convolutions, 1):
            y = nn.relu(self.norm(name=f"norm{i}")(y))
            if i == 1 and (self.strides > 1 or x.shape[-1] != channels):
                residual = choose(SHORTCUTS, "shortcut", self.shortcut)(x, y, channels, self.strides, self.conv)
            if i == len(convolutions):
                y = Dropout(self.dropout_rate)(y, train)
            y = self.conv(width, (side, side), strides, padding=side // 2, name=f"conv{i}")(y)
        return residual + y
