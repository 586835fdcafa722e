"""Semantic FPN: the maps of a pyramid are brought to one size and added (Kirillov et al. 2019).

Kirillov, Girshick, He, Dollár, "Panoptic Feature Pyramid Networks", CVPR 2019, section 3.1 and figure 3.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError, choose
from models.layers.norm import norm as normalisation
from models.layers.precision import exact
from models.layers.resize import resize


class SemanticFPN(nn.Module):
    """A branch for each map of a feature pyramid: 3×3 convolutions that each double the size."""

    conditions: ClassVar[tuple[str, ...]] = ()

    backbone: nn.Module  # (image, train) -> maps; the paper's is fpn over four stages of a ResNet
    levels: tuple[str, ...] = ("p2", "p3", "p4", "p5")  # each of half the size of the one before
    width: int = 128  # channels of the branches
    groups: int = 32  # of their group normalisation
    num_classes: int = 54  # those of COCO's stuff, and one for all things
    headless: bool = False  # True: the maps of the backbone are the answer
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float, of a size that the backbone takes -> logits [B, H, W, num_classes]."""
        maps = self.backbone(x, train)
        if self.headless:
            return maps
        if self.width % self.groups:
            raise ModelError(f"groups={self.groups} does not divide width={self.width}")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        he = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        conv = partial(nn.Conv, kernel_init=he, **types)
        norm = normalisation("group", train, None, num_groups=self.groups, **types)

        pyramid, total = [choose(maps, "levels", level) for level in self.levels], 0
        for i, y in enumerate(pyramid):
            for k in range(max(i, 1)):
                y = conv(self.width, (3, 3), padding=1, use_bias=False, name=f"branch{i}_{k}")(y)
                y = nn.relu(norm(name=f"branch{i}_{k}_norm")(y))
                if i:  # to the size of the level above, whatever it was halved from
                    y = resize(y, *pyramid[i - k - 1].shape[1:3])
            total = total + y
        classifier = partial(nn.Conv, kernel_init=nn.initializers.normal(0.01), **types)
        return resize(exact(classifier(self.num_classes, (1, 1), name="head")(total)), *x.shape[1:3])
