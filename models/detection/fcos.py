"""FCOS: every point of a pyramid sees the four sides of its box (Tian et al. 2019).

Tian, Shen, Chen, He, "FCOS: Fully Convolutional One-Stage Object Detection", ICCV 2019, section 3. Its loss is
training/tasks/fcos.py.
"""

import math
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from models.detection import fpn
from models.layers.norm import norm
from models.layers.precision import exact
from models.layers.pyramid import Tower, anchors_of, levels_of, per_anchor
from models.port import Port

PRIOR = 0.01  # the probability of an object that every point starts with


class FCOS(nn.Module):
    """Two towers on every map: one for classes; one for distances to the sides of the box, and for the centre-ness."""

    conditions: ClassVar[tuple[str, ...]] = ()

    backbone: nn.Module  # (image, train) -> {level: map}, all of one width: an FPN with p3 to p7
    levels: tuple[str, ...] = ()  # of the backbone; empty: all of them
    sizes: tuple[int, ...] = (8, 16, 32, 64, 128)  # unit of the distances on each map, in pixels: its stride
    depth: int = 4  # convolutions of a tower
    groups: int = 32  # of the group normalisation in the towers
    num_classes: int = 80
    headless: bool = False  # True: the maps of the backbone are the answer
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float -> a dictionary, with a tuple of arrays, one for each of the maps:

        logits [B, A, K]: of each class, for A = h · w points
        codes [B, A, 4]: distances (left, top, right, bottom) ≥ 0 to the sides of the box, over the size
        centreness [B, A]: logits
        anchors [A, 4]: squares of the size about each point, (x1, y1, x2, y2) in pixels of x

        Without a head it is the dictionary of the backbone.
        """
        maps = self.backbone(x, train)
        if self.headless:
            return maps
        maps = levels_of(maps, self.levels, len(self.sizes))
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        conv = partial(nn.Conv, kernel_init=nn.initializers.normal(0.01), **types)
        tower = partial(Tower, self.depth, conv, norm("group", train, None, **types, num_groups=self.groups))
        cells = [np.array([[-size, -size, size, size]]) / 2 for size in self.sizes]

        rare = nn.initializers.constant(-math.log((1 - PRIOR) / PRIOR))
        classify = conv(self.num_classes, (3, 3), padding=1, bias_init=rare, name="classes")
        regress = conv(4, (3, 3), padding=1, name="boxes")
        centre = conv(1, (3, 3), padding=1, name="centreness")
        logits = [exact(classify(x)) for x in tower(name="class_tower")(maps)]
        towards = tower(name="box_tower")(maps)
        codes = [exact(nn.relu(regress(x))) for x in towards]
        return {
            "logits": per_anchor(logits, self.num_classes),
            "codes": per_anchor(codes, 4),
            "centreness": tuple(exact(centre(x)).reshape(len(x), -1) for x in towards),
            "anchors": tuple(jnp.asarray(a, codes[0].dtype) for a in anchors_of(maps, x, cells)),
        }


def _layer(head: str):
    """torchvision's place of a layer of a tower, in whose list a convolution, a norm and a ReLU follow each other."""
    return lambda match: f"head/{head}_head/conv/{3 * int(match[2]) + (match[1] == 'norm')}/"


PORTS = {
    "torchvision": Port(
        names={
            **fpn.NAMES,
            r"^class_tower/(conv|norm)(\d)/": _layer("classification"),
            r"^box_tower/(conv|norm)(\d)/": _layer("regression"),
            r"^classes/": "head/classification_head/cls_logits/",
            r"^boxes/": "head/regression_head/bbox_reg/",
            r"^centreness/": "head/regression_head/bbox_ctrness/",
        }
    )
}
