"""GoogLeNet: convolutions of several sizes side by side, behind cheap 1×1 ones (Szegedy et al. 2015).

Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, table 1 and section 5.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import choose
from models.layers.dropout import Dropout
from models.layers.local_response import local_response
from models.layers.norm import norm as normalisation
from models.layers.pool import adaptive_avg_pool, max_pool_ceil
from models.layers.precision import exact
from models.port import Port

# Table 1: channels of the 1×1 branch; of the reduction and the 3×3; of the reduction and the 5×5; of the projection.
BLOCKS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
AUXILIARY = {"4a": "aux1", "4d": "aux2"}  # the blocks whose outputs the auxiliary classifiers read
STAGES = {"3b": "stage2", "4e": "stage3", "5b": "stage4"}

# The normalisation of every convolution, the larger window, whether there is local response normalisation.
VARIANTS = {"paper": ("none", 5, True), "torchvision": ("batch", 3, False)}


class Layer(nn.Module):
    """Convolution, normalisation, ReLU."""

    channels: int
    window: int
    conv: Any
    norm: Any
    strides: int = 1

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H/strides, W/strides, channels]."""
        sides = (self.window, self.window)
        x = self.conv(self.channels, sides, self.strides, padding=self.window // 2, name="conv")(x)
        return nn.relu(self.norm(name="bn")(x))


class Inception(nn.Module):
    """Figure 2b: four branches over one map, concatenated."""

    channels: tuple[int, ...]  # a row of BLOCKS
    large: int  # window of the third branch
    layer: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H, W, C']."""
        one, reduce3, three, reduce5, five, projection = self.channels
        pooled = nn.max_pool(x, (3, 3), padding=((1, 1), (1, 1)))
        branches = (
            self.layer(one, 1, name="branch1")(x),
            self.layer(three, 3, name="branch2_1")(self.layer(reduce3, 1, name="branch2_0")(x)),
            self.layer(five, self.large, name="branch3_1")(self.layer(reduce5, 1, name="branch3_0")(x)),
            self.layer(projection, 1, name="branch4_1")(pooled),
        )
        return jnp.concatenate(branches, -1)


class Classifier(nn.Module):
    """An auxiliary classifier: section 5. The map of 14×14 is averaged to 4×4, in windows of 5×5 in the paper."""

    window: int  # 0: in bins that cover the map, as torchvision
    num_classes: int
    layer: Any
    dense: Any
    dropout_rate: float = 0.7

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] -> logits [B, num_classes]."""
        if self.window and min(x.shape[1:3]) >= self.window:
            x = nn.avg_pool(x, (self.window, self.window), (3, 3))
        x = self.layer(128, 1, name="conv")(adaptive_avg_pool(x, 4, 4))
        x = nn.relu(self.dense(1024, name="fc1")(x.reshape(len(x), -1)))
        return exact(self.dense(self.num_classes, name="fc2")(Dropout(self.dropout_rate)(x, train)))


class GoogLeNet(nn.Module):
    """Three convolutions, nine inception blocks, the mean over space, classifier; and two auxiliary classifiers."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate", "auxiliary_dropout_rate")

    variant: str = "paper"  # a name in VARIANTS
    width: float = 1.0  # of the paper's channels
    auxiliary: float = 0.3  # weight of the loss of each auxiliary classifier; 0: there are none
    dropout_rate: float = 0.4  # before the classifier; torchvision: 0.2
    auxiliary_dropout_rate: float = 0.7
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, 3] float (the paper: 224×224) -> logits [B, num_classes].

        In training a tuple of them and the logits of the auxiliary classifiers, unless `auxiliary` is 0. With
        num_classes=0 a dictionary of maps: "stem" at stride 2, "stage1" at 4, "stage2" at 8, "stage3" at 16, "stage4"
        at 32, and "pre_logits" [B, 1024].
        """
        norm, large, responses = choose(VARIANTS, "variant", self.variant)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        norm = normalisation(norm, train, self.axis_name, epsilon=1e-3, **types)
        # The paper states no initial weights; these are those of the reference model of Caffe.
        biased = {} if large == 3 else {"bias_init": nn.initializers.constant(0.2)}
        conv = partial(nn.Conv, kernel_init=nn.initializers.xavier_uniform(), use_bias=bool(biased), **biased, **types)
        layer = lambda channels, window, **more: Layer(int(channels * self.width), window, conv, norm, **more)
        dense = partial(nn.Dense, kernel_init=nn.initializers.xavier_uniform(), **types)
        normalise = local_response if responses else lambda x: x

        x = layer(64, 7, strides=2, name="conv1")(x)
        maps = {"stem": x}
        x = layer(64, 1, name="conv2")(normalise(max_pool_ceil(x)))
        x = normalise(layer(192, 3, name="conv3")(x))
        maps["stage1"] = x
        x = max_pool_ceil(x)
        others = []
        for name, channels in BLOCKS.items():
            x = Inception(channels, large, layer, name=f"inception{name}")(x)
            if name in AUXILIARY and self.num_classes and self.auxiliary and (train or self.is_initializing()):
                window = 5 if responses else 0
                head = Classifier(
                    window, self.num_classes, layer, dense, self.auxiliary_dropout_rate, name=AUXILIARY[name]
                )
                others.append(head(x, train))
            if name in STAGES:
                maps[STAGES[name]] = x
                if name == "3b":
                    x = max_pool_ceil(x)
                elif name == "4e":
                    x = max_pool_ceil(x) if responses else max_pool_ceil(x, size=2)
        x = Dropout(self.dropout_rate)(x.mean((1, 2)), train)
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        x = exact(dense(self.num_classes, name="fc")(x))
        return (x, *others) if train and self.auxiliary else x


PORTS = {
    "torchvision": Port(
        names={r"^(inception\w+)/branch(\d)_(\d)/": r"\1/branch\2/\3/"},
        flattened={r"^aux\d/fc1/": (4, 4)},
    )
}
