"""SegNet: a decoder that puts each value back where the encoder found it (Badrinarayanan et al. 2017).

Badrinarayanan, Kendall, Cipolla, "SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image Segmentation",
TPAMI 2017, section 3: the encoder has the convolutions of VGG-16, and the decoder is its mirror image.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError
from models.layers.context import ConvNorm
from models.layers.norm import norm as normalisation
from models.layers.precision import exact
from models.layers.unpool import max_pool_with_places, unpool_max


class SegNet(nn.Module):
    """Stages of convolutions, pooling down and unpooling by the places of the maxima up; no map skips a level."""

    conditions: ClassVar[tuple[str, ...]] = ()

    blocks: tuple[int, ...] = (2, 2, 3, 3, 3)  # 3×3 convolutions of each stage, down and up
    width: int = 64  # channels of the first stage; they double up to eight times as many
    num_classes: int = 11
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float, at least 2^stages pixels a side -> logits [B, H, W, num_classes].

        Where a pooling drops an odd row or column, the unpooling puts zeros there. With num_classes=0 a dictionary of
        maps: "stage1" at stride 1, ... before each pooling, "bottom", and "up1", ..., whose last the head reads.
        """
        least = 2 ** len(self.blocks)
        if min(x.shape[1:3]) < least:
            raise ModelError(f"{len(self.blocks)} poolings need {least}×{least} pixels, not {x.shape[1]}×{x.shape[2]}")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        conv = partial(nn.Conv, kernel_init=nn.initializers.variance_scaling(2.0, "fan_in", "normal"), **types)
        norm = normalisation("batch", train, self.axis_name, **types)
        widths = [self.width * min(2**stage, 8) for stage in range(len(self.blocks))]

        maps, remembered = {}, []
        for stage, count in enumerate(self.blocks, 1):
            for i in range(1, count + 1):
                x = ConvNorm(widths[stage - 1], 3, conv, norm, name=f"down{stage}_{i}")(x)
            maps[f"stage{stage}"], sides = x, x.shape[1:3]
            x, places = max_pool_with_places(x)
            remembered.append((places, sides))
        maps["bottom"] = x
        for stage in range(len(self.blocks), 0, -1):
            x = unpool_max(x, *remembered.pop())
            for i in range(self.blocks[stage - 1], 0, -1):
                if (stage, i) == (1, 1):  # the head, which mirrors the first convolution
                    break
                features = widths[stage - 1] if i > 1 else widths[stage - 2]  # a stage ends with those of the next
                x = ConvNorm(features, 3, conv, norm, name=f"up{stage}_{i}")(x)
            maps[f"up{len(self.blocks) - stage + 1}"] = x
        return exact(conv(self.num_classes, (3, 3), padding=1, name="head")(x)) if self.num_classes else maps
