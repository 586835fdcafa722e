"""AlexNet: the network that won ILSVRC 2012 (Krizhevsky et al. 2012).

Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012, figure 2.
The variant "torchvision" is the network of Krizhevsky, "One weird trick for parallelizing convolutional neural
networks", 2014, figure 2, without local response normalisation.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError, choose
from models.layers.dropout import Dropout
from models.layers.local_response import local_response
from models.layers.pool import adaptive_avg_pool
from models.layers.precision import exact
from models.layers.sliding import SlidingDense
from models.port import Port

# Channels of the five convolutions; groups of the second, fourth and fifth, whose halves ran on two GPUs; padding of
# the first; whether responses are normalised; initial bias of the layers that the paper starts at 1.
VARIANTS = {
    "two_group": ((96, 256, 384, 384, 256), 2, 0, True, 1.0),
    "single": ((96, 256, 384, 384, 256), 1, 0, True, 1.0),
    "torchvision": ((64, 192, 384, 256, 256), 1, 2, False, 0.0),
}
SMALLEST = 67  # pixels a side that leave one pixel after the last pooling

pool = partial(nn.max_pool, window_shape=(3, 3), strides=(2, 2))  # windows overlap: section 3.4


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
        channels, groups, padding, normalise, one = choose(VARIANTS, "variant", self.variant)
        if min(x.shape[1:3]) < SMALLEST:
            raise ModelError(f"alexnet needs images of {SMALLEST} pixels a side, not {x.shape[1]}×{x.shape[2]}")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype, kernel_init=nn.initializers.normal(0.01))
        ones = nn.initializers.constant(one)
        layers = (  # window, stride, padding, groups, initial bias
            (11, 4, padding, 1, nn.initializers.zeros),
            (5, 1, 2, groups, ones),
            (3, 1, 1, 1, nn.initializers.zeros),
            (3, 1, 1, groups, ones),
            (3, 1, 1, groups, ones),
        )
        maps = {}
        for i, (count, (window, stride, pad, parts, bias)) in enumerate(zip(channels, layers, strict=True), 1):
            sides = (window, window)
            conv = nn.Conv(
                int(count * self.width),
                sides,
                stride,
                pad,
                feature_group_count=parts,
                bias_init=bias,
                **types,
                name=f"conv{i}",
            )
            x = nn.relu(conv(x))
            maps[f"stage{i}"] = x
            if i in (1, 2):
                x = pool(local_response(x) if normalise else x)
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
