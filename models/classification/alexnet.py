"""AlexNet: the network that won ILSVRC 2012 (Krizhevsky et al. 2012).

Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012, figure 2.
- "torchvision" is the network of Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014,
  figure 2, without local response normalisation.
- "zfnet" is that of Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, figure 3, whose
  first layers see more; "zfnet_wide" has the widths of its table 3, "adjust layers 3,4,5".
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError, choose
from models.layers.dropout import Dropout
from models.layers.grouped_conv import grouped_conv
from models.layers.local_response import local_response
from models.layers.pool import adaptive_avg_pool, max_pool_ceil
from models.layers.precision import exact
from models.layers.sliding import SlidingDense
from models.port import Port

# Channels, window, stride, padding and groups of the five convolutions. Groups ran on two GPUs.
VARIANTS = {
    "two_group": ((96, 11, 4, 0, 1), (256, 5, 1, 2, 2), (384, 3, 1, 1, 1), (384, 3, 1, 1, 2), (256, 3, 1, 1, 2)),
    "single": ((96, 11, 4, 0, 1), (256, 5, 1, 2, 1), (384, 3, 1, 1, 1), (384, 3, 1, 1, 1), (256, 3, 1, 1, 1)),
    "torchvision": ((64, 11, 4, 2, 1), (192, 5, 1, 2, 1), (384, 3, 1, 1, 1), (256, 3, 1, 1, 1), (256, 3, 1, 1, 1)),
    "zfnet": ((96, 7, 2, 1, 1), (256, 5, 2, 0, 1), (384, 3, 1, 1, 1), (384, 3, 1, 1, 1), (256, 3, 1, 1, 1)),
    "zfnet_wide": ((96, 7, 2, 1, 1), (256, 5, 2, 0, 1), (512, 3, 1, 1, 1), (1024, 3, 1, 1, 1), (512, 3, 1, 1, 1)),
}
SMALLEST = 67  # pixels a side that leave one pixel after the last pooling


class AlexNet(nn.Module):
    """Five convolutions, three of them followed by overlapping max pooling, and three fully connected layers."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    variant: str = "two_group"  # a name in VARIANTS
    width: float = 1.0  # of the paper's channels
    hidden: int = 4096  # width of the two fully connected layers
    dropout_rate: float = 0.5  # before each of them
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, 3] float, at least 67×67 (the paper: 227×227; torchvision: 224×224) -> logits [B, num_classes].

        Maps of other sizes are averaged to 6×6 before the first fully connected layer, as torchvision does. With
        num_classes=0 a dictionary of maps: "stage1" at stride 4, "stage2" at 8, "stage3" to "stage5" at 16, each before
        its normalisation and pooling, and "pre_logits" [B, hidden].
        """
        layers = choose(VARIANTS, "variant", self.variant)
        if min(x.shape[1:3]) < SMALLEST:
            raise ModelError(f"{self.variant} needs images of {SMALLEST} pixels a side, not {x.shape[1]}×{x.shape[2]}")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype, kernel_init=nn.initializers.normal(0.01))
        # Section 5: with ones the ReLUs of these layers start with positive inputs.
        ones = nn.initializers.constant(1.0 if self.variant in ("two_group", "single") else 0.0)
        normalise = local_response if self.variant != "torchvision" else lambda x: x
        # Windows overlap: section 3.4. Those of Zeiler & Fergus may reach beyond the map: 110 pixels become 55.
        pool = max_pool_ceil if "zfnet" in self.variant else partial(nn.max_pool, window_shape=(3, 3), strides=(2, 2))

        maps = {}
        for i, (channels, window, stride, padding, groups) in enumerate(layers, 1):
            conv = partial(nn.Conv, int(channels * self.width), (window, window), stride, padding, name=f"conv{i}")
            bias = ones if i in (2, 4, 5) else nn.initializers.zeros
            if groups > 1:
                conv = partial(conv, feature_group_count=groups, conv_general_dilated=grouped_conv)
            x = nn.relu(conv(bias_init=bias, **types)(x))
            maps[f"stage{i}"] = x
            if i <= 2:
                x = pool(normalise(x))
        x = adaptive_avg_pool(pool(x), 6, 6)
        for i, window in enumerate(((6, 6), (1, 1)), 6):
            x = Dropout(self.dropout_rate)(x, train)
            x = nn.relu(SlidingDense(self.hidden, window, bias_init=ones, name=f"fc{i}", **types)(x))
        x = x[:, 0, 0]
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        return exact(nn.Dense(self.num_classes, name="fc8", **types)(x))


PORTS = {
    "torchvision": Port(
        names={
            **{f"^conv{i}/": f"features/{n}/" for i, n in enumerate((0, 3, 6, 8, 10), 1)},
            **{f"^fc{i}/": f"classifier/{n}/" for i, n in zip((6, 7, 8), (1, 4, 6), strict=True)},
        },
        flattened={r"^fc6/": (6, 6)},
    )
}
