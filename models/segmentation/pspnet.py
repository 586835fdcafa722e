"""PSPNet: a pixel is classified beside means over ever larger parts of the image (Zhao et al. 2017).

Zhao, Shi, Qi, Wang, Jia, "Pyramid Scene Parsing Network", CVPR 2017, figure 3.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError, choose
from models.layers.context import ConvNorm, FCNHead, PyramidPooling
from models.layers.dropout import Dropout
from models.layers.norm import norm as normalisation
from models.layers.precision import exact
from models.layers.resize import resize


class PSPNet(nn.Module):
    """The map of a backbone, pyramid pooling, a 3×3 convolution and a classifier, interpolated."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    backbone: nn.Module  # (image, train) -> maps; resnet: output_stride=8
    level: str = "stage4"
    bins: tuple[int, ...] = (1, 2, 3, 6)  # sides of the grids
    width: int = 512  # channels before the classifier
    auxiliary: float = 0.0  # weight of the loss of a second head, for training; 0: there is none. The paper: 0.4
    auxiliary_level: str = "stage3"
    dropout_rate: float = 0.1  # in both heads
    num_classes: int = 21
    headless: bool = False  # True: the maps of the backbone are the answer
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float, of a size that the backbone takes -> logits [B, H, W, num_classes].

        In training with an auxiliary head a pair of logits.
        """
        maps = self.backbone(x, train)
        if self.headless:
            return maps
        found = choose(maps, "level", self.level)
        if found.shape[-1] % len(self.bins):
            raise ModelError(f"{len(self.bins)} grids do not share the {found.shape[-1]} channels of {self.level!r}")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        he = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        conv = partial(nn.Conv, use_bias=False, kernel_init=he, **types)
        norm = normalisation("batch", train, self.axis_name, **types)
        classifier = partial(nn.Conv, kernel_init=nn.initializers.normal(0.01), **types)

        y = PyramidPooling(self.bins, conv, norm, name="pyramid")(found)
        y = Dropout(self.dropout_rate)(ConvNorm(self.width, 3, conv, norm, name="fuse")(y), train)
        logits = classifier(self.num_classes, (1, 1), name="classifier")(y)
        # The authors' interpolation aligns the corners.
        up = partial(resize, height=x.shape[1], width=x.shape[2], align_corners=True)
        if not (self.auxiliary and (train or self.is_initializing())):
            return up(exact(logits))
        head = FCNHead(self.num_classes, conv, norm, classifier, self.dropout_rate, name="auxiliary_head")
        other = head(choose(maps, "auxiliary_level", self.auxiliary_level), train)
        return (up(exact(logits)), up(exact(other))) if train else up(exact(logits))
