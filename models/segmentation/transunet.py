"""TransUNet: a U-Net whose deepest map is a sequence that a Transformer has read (Chen et al. 2021).

Chen et al., "TransUNet: Transformers Make Strong Encoders for Medical Image Segmentation", 2021, section 3, figure 1.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.classification.vit import EncoderBlock
from models.errors import choose
from models.layers.context import ConvNorm
from models.layers.dropout import Dropout
from models.layers.norm import norm as normalisation
from models.layers.precision import exact
from models.layers.resize import resize


class TransUNet(nn.Module):
    """A backbone, Transformer blocks over its map `level`, and a decoder that doubles the size and joins a skip.

    With the hybrid network of ViT as the backbone, and the default fields, it is the paper's R50-ViT-B/16.
    """

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    backbone: nn.Module  # (image, train) -> maps
    level: str = "stage3"  # the map whose pixels are tokens
    skips: tuple[str, ...] = ("stage2", "stage1", "stem")  # maps for the decoder, from the deepest
    width: int = 768  # of the tokens
    depth: int = 12
    heads: int = 12
    mlp: int = 3072
    grid: int = 14  # side of the map for which there are positions; they are interpolated to that of other images
    bridge: int = 512  # channels of the map that the decoder begins with
    decoder: tuple[int, ...] = (256, 128, 64, 16)  # channels of its steps; those beyond the skips join nothing
    dropout_rate: float = 0.1  # of tokens
    num_classes: int = 9
    headless: bool = False  # True: the maps of the backbone are the answer
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float, of a size that the backbone takes -> logits [B, H, W, num_classes].

        A step of the decoder interpolates to the size of its skip, and the last ones to that of the image.
        """
        maps = self.backbone(x, train)
        if self.headless:
            return maps
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        he = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        conv = partial(nn.Conv, use_bias=False, kernel_init=he, **types)
        norm = normalisation("batch", train, self.axis_name, **types)
        size = x.shape[1:3]

        y = nn.Conv(self.width, (1, 1), name="embedding", **types)(choose(maps, "level", self.level))
        shape = (1, self.grid, self.grid, self.width)
        positions = self.param("positions", nn.initializers.normal(0.02), shape, self.param_dtype)
        grid = y.shape
        y = y + resize(positions, *grid[1:3]).astype(y.dtype)
        y = Dropout(self.dropout_rate)(y.reshape(len(y), -1, self.width), train)
        for i in range(self.depth):
            y = EncoderBlock(self.heads, self.mlp, self.dropout_rate, 0.0, name=f"block{i}", **types)(y, train)
        y = normalisation("layer", train, None, epsilon=1e-6, **types)(name="norm")(y).reshape(grid)

        y = ConvNorm(self.bridge, 3, conv, norm, name="bridge")(y)
        for i, features in enumerate(self.decoder):
            skip = choose(maps, "skips", self.skips[i]) if i < len(self.skips) else None
            sides = tuple(min(2 * n, of) for n, of in zip(y.shape[1:3], size, strict=True))
            # The authors' upsampling aligns the corners.
            y = resize(y, *(sides if skip is None else skip.shape[1:3]), align_corners=True)
            y = y if skip is None else jnp.concatenate([y, skip], -1)
            for k in (1, 2):
                y = ConvNorm(features, 3, conv, norm, name=f"step{i + 1}_{k}")(y)
        init = nn.initializers.normal(0.01)
        y = nn.Conv(self.num_classes, (3, 3), padding=1, kernel_init=init, name="head", **types)(y)
        return resize(exact(y), *size)
