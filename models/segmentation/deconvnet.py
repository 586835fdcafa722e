"""DeconvNet: VGG-16 and its mirror image of unpoolings and transposed convolutions (Noh et al. 2015).

Noh, Hong, Han, "Learning Deconvolution Network for Semantic Segmentation", ICCV 2015, table 5.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.layers.context import ConvNorm
from models.layers.norm import norm as normalisation
from models.layers.precision import exact
from models.layers.transposed import TransposedConv
from models.layers.unpool import max_pool_with_places, unpool_max


class DeconvNet(nn.Module):
    """Convolutions and poolings to one cell of `hidden` channels for each 7×7 of the last map, and the same way back.

    Every layer has a BatchNorm and a ReLU.
    """

    conditions: ClassVar[tuple[str, ...]] = ()

    blocks: tuple[int, ...] = (2, 2, 3, 3, 3)  # 3×3 convolutions of each stage, down and up
    width: int = 64  # channels of the first stage; they double up to eight times as many
    hidden: int = 4096  # channels of fc6 and fc7
    window: int = 7  # side of fc6
    num_classes: int = 21
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float of any size (the paper: 224×224) -> logits [B, H, W, num_classes].

        The image is padded with zeros, below and on the right, to whole cells of the last map, at least `window` a
        side, and the logits are cut to its size. With num_classes=0 a dictionary of maps of the padded image: "stage1"
        at stride 1, ... before each pooling, "bottom", and "up1", ..., whose last the head reads.
        """
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        conv = partial(nn.Conv, kernel_init=nn.initializers.variance_scaling(2.0, "fan_in", "normal"), **types)
        deconv = partial(
            TransposedConv,
            kernel_init=nn.initializers.variance_scaling(2.0, "fan_in", "normal", in_axis=-1, out_axis=-2),
            **types,
        )
        norm = normalisation("batch", train, self.axis_name, **types)
        widths = [self.width * min(2**stage, 8) for stage in range(len(self.blocks))]

        size, cell = x.shape[1:3], 2 ** len(self.blocks)
        pads = [(0, max(-(-n // cell), self.window) * cell - n) for n in size]
        x, maps, remembered = jnp.pad(x, ((0, 0), *pads, (0, 0))), {}, []
        for stage, count in enumerate(self.blocks, 1):
            for i in range(1, count + 1):
                x = ConvNorm(widths[stage - 1], 3, conv, norm, name=f"conv{stage}_{i}")(x)
            maps[f"stage{stage}"] = x
            x, places = max_pool_with_places(x)
            remembered.append(places)
        x = conv(self.hidden, (self.window, self.window), padding=0, name="fc6")(x)
        x = nn.relu(norm(name="fc6_norm")(x))
        x = maps["bottom"] = ConvNorm(self.hidden, 1, conv, norm, name="fc7")(x)
        x = nn.relu(norm(name="deconv6_norm")(deconv(widths[-1], self.window, name="deconv6")(x)))
        for stage in range(len(self.blocks), 0, -1):
            x = unpool_max(x, remembered.pop())
            for i in range(self.blocks[stage - 1], 0, -1):
                features = widths[stage - 1] if i > 1 else widths[max(stage - 2, 0)]
                x = deconv(features, 3, 1, 1, name=f"deconv{stage}_{i}")(x)
                x = nn.relu(norm(name=f"deconv{stage}_{i}_norm")(x))
            maps[f"up{len(self.blocks) - stage + 1}"] = x
        if not self.num_classes:
            return maps
        return exact(conv(self.num_classes, (1, 1), name="head")(x))[:, : size[0], : size[1]]
