"""Network in Network: small perceptrons slide over the image, and the mean of a map is the class (Lin et al. 2014).

Lin, Chen, Yan, "Network In Network", ICLR 2014; widths and windows are those of the authors' network for CIFAR-10.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.layers.dropout import Dropout
from models.layers.precision import exact


class NIN(nn.Module):
    """Three mlpconv layers (section 3.1), each a convolution and two 1×1 ones, then global average pooling (3.2)."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    dropout_rate: float = 0.5  # after each of the two poolings
    num_classes: int = 10
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, 3] float (the paper: 32×32) -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps, "stage1", "stage2", "stage3" at strides 1, 2 and 4 of the image, and
        "pre_logits" [B, 192], the mean of the last.
        """
        conv = partial(
            nn.Conv, kernel_init=nn.initializers.normal(0.05), dtype=self.dtype, param_dtype=self.param_dtype
        )
        maps = {}

        def mlpconv(x, stage, size, *widths):
            for i, width in enumerate(widths):
                side = size if i == 0 else 1
                x = nn.relu(conv(width, (side, side), padding=side // 2, name=f"conv{stage}_{i + 1}")(x))
            maps[f"stage{stage}"] = x
            return x

        pads = ((0, 1), (0, 1))  # of even maps, as Caffe's pooling rounds their size up
        x = mlpconv(x, 1, 5, 192, 160, 96)
        x = Dropout(self.dropout_rate)(nn.max_pool(x, window_shape=(3, 3), strides=(2, 2), padding=pads), train)
        x = mlpconv(x, 2, 5, 192, 192, 192)
        x = nn.avg_pool(x, (3, 3), strides=(2, 2), padding=pads, count_include_pad=False)
        x = mlpconv(Dropout(self.dropout_rate)(x, train), 3, 3, 192, 192)
        if not self.num_classes:
            return {**maps, "pre_logits": x.mean((1, 2))}
        return exact(nn.relu(conv(self.num_classes, (1, 1), name="conv3_3")(x)).mean((1, 2)))
