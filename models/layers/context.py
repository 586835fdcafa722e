"""Heads over one map that see wider and wider surroundings: convolutions, atrous pyramids, pyramids of poolings."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from models.layers.dropout import Dropout
from models.layers.pool import adaptive_avg_pool
from models.layers.resize import resize


class ConvNorm(nn.Module):
    """A convolution that keeps the size of its map, a normalisation and a ReLU."""

    features: int
    window: int
    conv: Any  # constructor of a convolution, with or without bias
    norm: Any  # constructor of a normalisation
    dilation: int = 1

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H, W, features]."""
        padding = self.window // 2 * self.dilation
        x = self.conv(self.features, (self.window,) * 2, padding=padding, kernel_dilation=self.dilation, name="conv")(x)
        return nn.relu(self.norm(name="norm")(x))


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: Chen, Papandreou, Schroff, Adam 2017 ("DeepLabv3"), figure 5.

    A 1×1 convolution, 3×3 ones at each rate and the mean of the whole map, side by side, as `features` channels.
    """

    rates: tuple[int, ...]
    features: int
    conv: Any
    norm: Any
    dropout_rate: float = 0.5

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] -> [B, H, W, features]."""
        unit = lambda window, dilation, name: ConvNorm(self.features, window, self.conv, self.norm, dilation, name=name)
        branches = [unit(1, 1, "point")(x)]
        branches += [unit(3, rate, f"rate{i}")(x) for i, rate in enumerate(self.rates)]
        whole = unit(1, 1, "image")(x.mean((1, 2), keepdims=True))
        branches.append(jnp.broadcast_to(whole, branches[0].shape))
        x = unit(1, 1, "project")(jnp.concatenate(branches, -1))
        return Dropout(self.dropout_rate)(x, train)


class PyramidPooling(nn.Module):
    """Means over coarser and coarser grids beside the map: Zhao et al., CVPR 2017, section 3.2.

    Each grid of bins has C / number of grids channels and is brought back to the size of the map with its corners
    aligned, as in the authors' code.
    """

    bins: tuple[int, ...]
    conv: Any
    norm: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H, W, 2C], for C a multiple of the number of grids."""
        _, height, width, channels = x.shape
        found = [x]
        for side in self.bins:
            unit = ConvNorm(channels // len(self.bins), 1, self.conv, self.norm, name=f"bins{side}")
            y = unit(adaptive_avg_pool(x, side, side))
            found.append(resize(y, height, width, align_corners=True))
        return jnp.concatenate(found, -1)


class FCNHead(nn.Module):
    """A 3×3 convolution to a quarter of the channels, dropout, a classifier of pixels. torchvision's `FCNHead`."""

    num_classes: int
    conv: Any
    norm: Any
    classifier: Any  # constructor of a convolution with bias
    dropout_rate: float = 0.1

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] -> [B, H, W, num_classes]."""
        x = ConvNorm(x.shape[-1] // 4, 3, self.conv, self.norm, name="hidden")(x)
        return self.classifier(self.num_classes, (1, 1), name="classifier")(Dropout(self.dropout_rate)(x, train))
