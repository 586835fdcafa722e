"""Inverted residual: wide inside, narrow where blocks meet. Sandler et al., CVPR 2018, section 3.3."""

from typing import Any

import flax.linen as nn

from models.errors import choose
from models.layers.activations import ACTIVATIONS
from models.layers.dropout import Dropout
from models.layers.padding import PADDINGS


class InvertedResidual(nn.Module):
    """1×1 to `hidden` channels, depthwise convolution, squeeze and excitation, 1×1 to `channels` without activation.

    The input is added where it has the shape of the output.
    """

    hidden: int
    channels: int
    strides: int
    conv: Any
    norm: Any
    window: int = 3  # of the depthwise convolution
    activation: str = "relu6"  # a name in ACTIVATIONS
    padding: str = "same"  # a name in PADDINGS
    expands: bool = True  # False: there is no first 1×1, and `hidden` is the width of the input
    squeeze: Any = None  # constructor of squeeze and excitation, if there is one
    drop_rate: Any = 0.0  # of the whole branch: stochastic depth
    projects: bool = False  # add a 1×1 projection of the input where widths differ and nothing strides

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] -> [B, H/strides, W/strides, channels]."""
        activation = choose(ACTIVATIONS, "activation", self.activation)
        padding = choose(PADDINGS, "padding", self.padding)(self.window)
        y = x
        if self.expands:
            y = activation(self.norm(name="expand_bn")(self.conv(self.hidden, (1, 1), name="expand")(y)))
        window = (self.window, self.window)
        depthwise = dict(padding=padding, feature_group_count=self.hidden, name="depthwise")
        y = activation(self.norm(name="depthwise_bn")(self.conv(self.hidden, window, self.strides, **depthwise)(y)))
        if self.squeeze:
            y = self.squeeze(name="se")(y)
        y = self.norm(name="project_bn")(self.conv(self.channels, (1, 1), name="project")(y))
        if self.strides > 1 or (x.shape != y.shape and not self.projects):
            return y
        if x.shape != y.shape:
            x = self.norm(name="shortcut_bn")(self.conv(self.channels, (1, 1), name="shortcut")(x))
        return x + Dropout(self.drop_rate, shared=(1, 2, 3))(y, train)
