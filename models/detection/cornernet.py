"""CornerNet: an object is a pair of corners (Law & Deng 2018).

Law & Deng, "CornerNet: Detecting Objects as Paired Keypoints", ECCV 2018, section 3. Its loss is
training/tasks/cornernet.py.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from models.layers.corner_pool import corner_pool
from models.layers.norm import norm as normalisation
from models.layers.precision import exact
from models.layers.pyramid import levels_of

CORNERS = ("top_left", "bottom_right")
RARE = -2.19  # the logit of 0.1


class Corner(nn.Module):
    """What a corner's heads read: corner pooling in a residual block. Figure 7."""

    corner: str
    width: int  # channels of each of the two pooled maps
    conv: Any
    norm: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H, W, C]."""
        channels, layer = (
            x.shape[-1],
            lambda x, name, *args: self.norm(name=f"{name}_bn")(self.conv(*args, name=name)(x)),
        )
        rows, columns = (nn.relu(layer(x, name, self.width, (3, 3))) for name in ("rows", "columns"))
        pooled = layer(corner_pool(rows, columns, self.corner), "pooled", channels, (3, 3))
        x = nn.relu(pooled + layer(x, "shortcut", channels, (1, 1)))
        return nn.relu(layer(x, "conv", channels, (3, 3)))


class CornerNet(nn.Module):
    """For each corner a heat map of the classes, an embedding that two corners of one object share, an offset."""

    conditions: ClassVar[tuple[str, ...]] = ()

    backbone: nn.Module  # (image, train) -> {level: map}; the paper's is Hourglass
    levels: tuple[str, ...] = ("stack1", "stack2")  # of the backbone, in training; the last one answers
    width: int = 128  # channels of the pooled maps
    num_classes: int = 80
    headless: bool = False  # True: the maps of the backbone are the answer
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float -> a dictionary, for h × w cells, the corners (top left, bottom right) and L levels:

        heatmap [B, L, 2, h, w, K]: logits of a corner of class k in the cell
        embedding [B, L, 2, h, w]
        offset [B, L, 2, h, w, 2]: (x, y) from the cell's corner to the object's, in cells

        Without a head it is the dictionary of the backbone.
        """
        maps = self.backbone(x, train)
        if self.headless:
            return maps
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        conv = partial(nn.Conv, padding="SAME", **types)
        norm = normalisation("batch", train, self.axis_name, **types)
        corner = partial(Corner, width=self.width, conv=partial(conv, use_bias=False), norm=norm)

        def head(x, name, channels, bias=0.0):
            y = nn.relu(conv(x.shape[-1], (3, 3), name=f"{name}_conv")(x))
            return exact(conv(channels, (1, 1), bias_init=nn.initializers.constant(bias), name=name)(y))

        def both(x, level):
            found = []
            for place in CORNERS:
                y, name = corner(place, name=f"{place}{level}")(x), f"{place}{level}"
                heat = head(y, f"{name}_heatmap", self.num_classes, RARE)
                found.append(
                    {
                        "heatmap": heat,
                        "embedding": head(y, f"{name}_embedding", 1)[..., 0],
                        "offset": head(y, f"{name}_offset", 2),
                    }
                )
            return jax.tree.map(lambda *each: jnp.stack(each, 1), *found)

        maps = levels_of(maps, self.levels, len(self.levels))
        return jax.tree.map(lambda *each: jnp.stack(each, 1), *(both(x, i + 1) for i, x in enumerate(maps)))
