"""DenseNet: every layer reads the maps of all layers before it (Huang et al. 2017).

Huang, Liu, van der Maaten, Weinberger, "Densely Connected Convolutional Networks", CVPR 2017, section 3 and table 1.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError, choose
from models.layers.dropout import Dropout
from models.layers.norm import norm as normalisation
from models.layers.precision import exact
from models.port import Port

# Table 1: layers of the four blocks. DenseNet-161 has growth=48.
DEPTHS = {
    121: (6, 12, 24, 16),
    161: (6, 12, 36, 24),
    169: (6, 12, 32, 32),
    201: (6, 12, 48, 32),
    264: (6, 12, 64, 48),
}
STEMS = {"imagenet": 4, "cifar": 1}  # stride of the first map of blocks


class DenseLayer(nn.Module):
    """Norm, ReLU, 3×3 convolution to `growth` channels; a bottleneck has norm, ReLU, 1×1 convolution before."""

    growth: int
    bottleneck: bool
    dropout_rate: float
    conv: Any
    norm: Any

    @nn.compact
    def __call__(self, maps, train: bool):
        """maps: a list of [B, H, W, C_i] -> [B, H, W, growth]."""
        x, dropout = jnp.concatenate(maps, -1), Dropout(self.dropout_rate)
        windows = ((1, 4 * self.growth), (3, self.growth)) if self.bottleneck else ((3, self.growth),)
        for i, (window, channels) in enumerate(windows, 1):
            x = nn.relu(self.norm(name=f"norm{i}")(x))
            x = self.conv(channels, (window, window), padding=window // 2, name=f"conv{i}")(x)
            x = dropout(x, train)
        return x


class Transition(nn.Module):
    """Norm, ReLU, 1×1 convolution, mean over 2×2 pixels."""

    channels: int
    dropout_rate: float
    conv: Any
    norm: Any

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] -> [B, H // 2, W // 2, channels]."""
        x = self.conv(self.channels, (1, 1), name="conv")(nn.relu(self.norm(name="norm")(x)))
        return nn.avg_pool(Dropout(self.dropout_rate)(x, train), (2, 2), (2, 2))


class DenseNet(nn.Module):
    """A convolution, dense blocks with transitions between them, norm and ReLU, the mean over space, classifier."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    stem: str = "imagenet"  # "imagenet": 7×7/2, pooling, four blocks | "cifar": 3×3, three blocks of equal depth
    depth: int = 121  # a key of DEPTHS; for "cifar" 6n+4 with bottlenecks and 3n+4 without, n layers a block
    layers: tuple[int, ...] = ()  # of each block, in place of those that `depth` gives
    growth: int = 32  # k: channels that a layer adds
    bottleneck: bool = True  # "B"
    compression: float = 0.5  # θ, "C": the part of the channels that a transition keeps; the plain network has 1.0
    dropout_rate: float = 0.0  # after each convolution but the first; 0.2 in the paper where nothing augments the data
    remat: bool = False  # keep no concatenation and normalised map, but compute them again. Pleiss et al. 2017
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float, at least 29×29 (the paper: 224×224), or 4×4 for "cifar" -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps: "stem" at stride 2, before the pooling, "stage1" at 4 to "stage4" at 32
        ("cifar": "stem" and "stage1" at 1 to "stage3" at 4), and "pre_logits" [B, D].
        """
        stride, blocks = choose(STEMS, "stem", self.stem), self._blocks()
        smallest = stride * 2 ** (len(blocks) - 1) - (stride - 1)  # leaves one pixel of the last map
        if min(x.shape[1:3]) < smallest:
            raise ModelError(f"densenet needs images of {smallest} pixels a side, not {x.shape[1]}×{x.shape[2]}")
        if not 0 < self.compression <= 1:
            raise ModelError(f"compression={self.compression} is not in (0, 1]")
        imagenet = self.stem == "imagenet"
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        he = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
        conv = partial(nn.Conv, use_bias=False, kernel_init=he, **types)
        norm = normalisation("batch", train, self.axis_name, **types)
        layer = nn.remat(DenseLayer, static_argnums=(2,)) if self.remat else DenseLayer
        layer = partial(layer, self.growth, self.bottleneck, self.dropout_rate, conv, norm)

        channels = 2 * self.growth if self.bottleneck else 16
        if imagenet:
            x = conv(channels, (7, 7), 2, padding=3, name="conv0")(x)
            x = nn.relu(norm(name="norm0")(x))
            maps = {"stem": x}
            x = nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        else:
            x = conv(channels, (3, 3), padding=1, name="conv0")(x)
            maps = {"stem": x}
        for block, count in enumerate(blocks, 1):
            features = [x]
            for i in range(1, count + 1):
                features.append(layer(name=f"block{block}_{i}")(features, train))
            maps[f"stage{block}"] = x = jnp.concatenate(features, -1)
            if block < len(blocks):
                kept = int(x.shape[-1] * self.compression)
                x = Transition(kept, self.dropout_rate, conv, norm, name=f"transition{block}")(x, train)
        x = nn.relu(norm(name="norm")(x)).mean((1, 2))
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        return exact(nn.Dense(self.num_classes, kernel_init=he, name="classifier", **types)(x))

    def _blocks(self) -> tuple[int, ...]:
        """Layers of each block."""
        if self.layers:
            return self.layers
        if self.stem == "imagenet":
            return choose(DEPTHS, "depth", self.depth)
        step = 6 if self.bottleneck else 3
        count, rest = divmod(self.depth - 4, step)
        if rest or count < 1:
            raise ModelError(f"depth={self.depth} is not {step}n+4, such as {step * 6 + 4} or {step * 16 + 4}")
        return (count,) * 3


PORTS = {
    "torchvision": Port(
        names={
            r"^block(\d)_(\d+)/": r"denseblock\1/denselayer\2/",
            r"^norm/": "norm5/",
            r"^(?!classifier)": "features/",
        }
    )
}
