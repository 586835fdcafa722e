"""RetinaNet: dense anchors on a pyramid (Lin et al. 2017).

Lin, Goyal, Girshick, He, Dollár, "Focal Loss for Dense Object Detection", ICCV 2017, section 4. Its loss is
training/tasks/retinanet.py.
"""

import math
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.detection import fpn
from models.layers import anchors
from models.layers.precision import exact
from models.layers.pyramid import Tower, anchors_of, levels_of, per_anchor
from models.port import Port

RATIOS = (0.5, 1.0, 2.0)  # height / width
OCTAVES = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
PRIOR = 0.01  # the probability of an object that every anchor starts with


class RetinaNet(nn.Module):
    """Two towers of four convolutions, one for classes and one for boxes, with the same parameters on every map."""

    conditions: ClassVar[tuple[str, ...]] = ()

    backbone: nn.Module  # (image, train) -> {level: map}, all of one width: an FPN with p3 to p7
    levels: tuple[str, ...] = ()  # of the backbone; empty: all of them
    sizes: tuple[int, ...] = (32, 64, 128, 256, 512)  # of the anchors of each map, in pixels
    depth: int = 4  # convolutions of a tower
    num_classes: int = 80
    headless: bool = False  # True: the maps of the backbone are the answer
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float -> a dictionary, with a tuple of arrays, one for each of the maps:

        logits [B, A, K]: of each class, for A = h · w · 9 anchors
        codes [B, A, 4]: of a box relative to its anchor (training/detection/coders.py)
        anchors [A, 4]: (x1, y1, x2, y2) in pixels of x

        Without a head it is the dictionary of the backbone.
        """
        maps = self.backbone(x, train)
        if self.headless:
            return maps
        maps = levels_of(maps, self.levels, len(self.sizes))
        normal = nn.initializers.normal(0.01)
        conv = partial(nn.Conv, kernel_init=normal, dtype=self.dtype, param_dtype=self.param_dtype)
        # Sizes between octaves are cut to whole pixels, as torchvision does.
        cells = [anchors.shapes([int(size * octave) for octave in OCTAVES], RATIOS) for size in self.sizes]
        shapes = len(RATIOS) * len(OCTAVES)

        rare = nn.initializers.constant(-math.log((1 - PRIOR) / PRIOR))
        classify = conv(shapes * self.num_classes, (3, 3), padding=1, bias_init=rare, name="classes")
        regress = conv(shapes * 4, (3, 3), padding=1, name="boxes")
        logits = [exact(classify(x)) for x in Tower(self.depth, conv, name="class_tower")(maps)]
        codes = [exact(regress(x)) for x in Tower(self.depth, conv, name="box_tower")(maps)]
        return {
            "logits": per_anchor(logits, self.num_classes),
            "codes": per_anchor(codes, 4),
            "anchors": tuple(jnp.asarray(a, codes[0].dtype) for a in anchors_of(maps, x, cells)),
        }


PORTS = {
    "torchvision": Port(
        names={
            **fpn.NAMES,
            r"^class_tower/conv(\d)/": r"head/classification_head/conv/\1/0/",
            r"^box_tower/conv(\d)/": r"head/regression_head/conv/\1/0/",
            r"^classes/": "head/classification_head/cls_logits/",
            r"^boxes/": "head/regression_head/bbox_reg/",
        }
    )
}
