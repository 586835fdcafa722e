"""CenterNet: an object is the point at the centre of its box (Zhou et al. 2019).

Zhou, Wang, Krähenbühl, "Objects as Points", arXiv:1904.07850, sections 3 and 4.
"""

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import choose
from models.layers.precision import exact

RARE = -2.19  # the logit of 0.1: a heat map that starts near ½ everywhere would learn for long that most of it is empty


class CenterNet(nn.Module):
    """A backbone and three heads over one of its maps, of h × w cells, each a 3×3 convolution, ReLU and a 1×1 one.

    The paper brings the deepest map of its backbones back to stride 4; here the backbone has a map of that stride.
    """

    conditions: ClassVar[tuple[str, ...]] = ()

    backbone: nn.Module  # (image, train) -> {level: map}
    level: str = "stage3"  # which of its maps
    width: int = 64  # channels of the heads
    num_classes: int = 80
    headless: bool = False  # True: the maps of the backbone are the answer
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float -> a dictionary:

        heatmap [B, h, w, K]: logits of a centre of class k in the cell
        offset [B, h, w, 2]: (x, y) from the cell's corner to the centre, in cells
        size [B, h, w, 2]: (width, height) of the box, in pixels of x

        Without a head it is the dictionary of the backbone.
        """
        maps = self.backbone(x, train)
        if self.headless:
            return maps
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = choose(maps, "level", self.level)

        def branch(name, channels, bias):
            y = nn.relu(nn.Conv(self.width, (3, 3), name=f"{name}_conv", **types)(x))
            return exact(nn.Conv(channels, (1, 1), bias_init=nn.initializers.constant(bias), name=name, **types)(y))

        return {
            "heatmap": branch("heatmap", self.num_classes, RARE),
            "offset": branch("offset", 2, 0.0),
            "size": branch("size", 2, 0.0),
        }
