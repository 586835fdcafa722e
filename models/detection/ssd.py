"""SSD: default boxes on maps of many sizes, in one pass (Liu et al. 2016).

Liu, Anguelov, Erhan, Szegedy, Reed, Fu, Berg, "SSD: Single Shot MultiBox Detector", ECCV 2016, section 2. Its loss is
training/tasks/ssd.py.
"""

import re
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from models.errors import check_length, choose
from models.layers import anchors
from models.layers.pool import max_pool, max_pool_ceil
from models.layers.precision import exact
from models.layers.pyramid import levels_of, per_anchor
from models.port import Port

CONVS = 2, 2, 3, 3, 3  # 3×3 convolutions of each stage of VGG-16
# Of each map after fc7: channels of a 1×1 convolution, then channels, window, stride and padding of a second one.
EXTRAS = {
    "300": ((256, 512, 3, 2, 1), (128, 256, 3, 2, 1), (128, 256, 3, 1, 0), (128, 256, 3, 1, 0)),
    "512": (
        *((256, 512, 3, 2, 1), (128, 256, 3, 2, 1), (128, 256, 3, 2, 1)),
        *((128, 256, 3, 2, 1), (128, 256, 4, 1, 1)),
    ),
}
LENGTH = 20.0  # of the vectors of conv4_3, at first. Section 3.1


class SSDVGG(nn.Module):
    """VGG-16 whose fully connected layers are convolutions with holes, and strided convolutions after it. Figure 2."""

    conditions: ClassVar[tuple[str, ...]] = ()

    variant: str = "300"  # a name in EXTRAS: side of the images
    width: int = 64  # channels of the first stage; those of the other layers follow
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, S, S, 3] float -> maps "map1" to "map6" (or "map7"), of 300×300 images 38, 19, 10, 5, 3 and 1 wide."""
        extras = choose(EXTRAS, "variant", self.variant)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        xavier = nn.initializers.xavier_uniform()
        layer = lambda channels, window, name, **fields: nn.Conv(
            channels * self.width // 64, (window, window), kernel_init=xavier, name=name, **fields, **types
        )
        maps = {}
        for stage, count in enumerate(CONVS, 1):
            for i in range(1, count + 1):
                x = nn.relu(layer(64 * min(2 ** (stage - 1), 8), 3, f"conv{stage}_{i}", padding=1)(x))
            if stage == 4:
                scale = self.param("scale", nn.initializers.constant(LENGTH), (x.shape[-1],), self.param_dtype)
                length = jnp.sqrt((exact(x) ** 2).sum(-1, keepdims=True))
                maps["map1"] = (exact(x) / jnp.maximum(length, 1e-12) * scale).astype(x.dtype)
            if stage == 3:
                x = max_pool_ceil(x, 2, 2)
            elif stage < 5:
                x = max_pool(x)
        x = nn.max_pool(x, (3, 3), padding=((1, 1), (1, 1)))
        x = nn.relu(layer(1024, 3, "fc6", padding=6, kernel_dilation=6)(x))
        maps["map2"] = x = nn.relu(layer(1024, 1, "fc7")(x))
        for i, (narrow, channels, window, stride, padding) in enumerate(extras, 3):
            x = nn.relu(layer(narrow, 1, f"extra{i}_1")(x))
            maps[f"map{i}"] = x = nn.relu(layer(channels, window, f"extra{i}_2", strides=stride, padding=padding)(x))
        return maps


class SSD(nn.Module):
    """A 3×3 convolution over each map: scores of the classes and of nothing, and a box, for each default box."""

    conditions: ClassVar[tuple[str, ...]] = ()

    backbone: nn.Module  # (image, train) -> {level: map}; the paper's is SSDVGG
    levels: tuple[str, ...] = ()  # of the backbone; empty: all of them
    # Sides of the default boxes of each map, over those of the image, and one more. The defaults are for COCO;
    # VOC: 0.1, 0.2, 0.37, 0.54, 0.71, 0.88, 1.05.
    scales: tuple[float, ...] = (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05)
    ratios: tuple[tuple[int, ...], ...] = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))  # width / height, and its inverse
    steps: tuple[int, ...] = (8, 16, 32, 64, 100, 300)  # pixels between centres; empty: image over map
    num_classes: int = 80
    headless: bool = False  # True: the maps of the backbone are the answer
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float -> a dictionary, with a tuple of arrays, one for each of the maps:

        logits [B, A, 1 + K]: of nothing, then of each class, for A = h · w · (2 + 2 · ratios) default boxes
        codes [B, A, 4]: of a box relative to its default box (training/detection/coders.py)
        anchors [A, 4]: (x1, y1, x2, y2) in pixels of x

        Without a head it is the dictionary of the backbone.
        """
        maps = self.backbone(x, train)
        if self.headless:
            return maps
        maps, size = levels_of(maps, self.levels, len(self.ratios)), np.array(x.shape[1:3])
        check_length("scales", self.scales, len(maps) + 1)
        check_length("steps", self.steps, len(maps))
        conv = partial(nn.Conv, kernel_size=(3, 3), padding=1, kernel_init=nn.initializers.xavier_uniform())
        conv = partial(conv, dtype=self.dtype, param_dtype=self.param_dtype)
        logits, codes, boxes = [], [], []
        for i, (y, ratios) in enumerate(zip(maps, self.ratios, strict=True)):
            sides = anchors.default_boxes(self.scales[i], self.scales[i + 1], ratios)
            half = sides * size[::-1] / 2
            step = (self.steps[i],) * 2 if self.steps else size / np.array(y.shape[1:3])
            boxes.append(anchors.grid(np.concatenate([-half, half], 1), y.shape[1:3], step, offset=0.5))
            logits.append(exact(conv((1 + self.num_classes) * len(sides), name=f"classes{i + 1}")(y)))
            codes.append(exact(conv(4 * len(sides), name=f"boxes{i + 1}")(y)))
        return {
            "logits": per_anchor(logits, 1 + self.num_classes),
            "codes": per_anchor(codes, 4),
            "anchors": tuple(jnp.asarray(a, codes[0].dtype) for a in boxes),
        }


def _torchvision(match: re.Match) -> str:
    """torchvision numbers the layers of VGG up to conv4_3 in one list, and those after it in another."""
    stage, i = int(match[1]), int(match[2])
    before = sum(2 * count + 1 for count in CONVS[: stage - 1]) + 2 * (i - 1)
    return f"backbone/features/{before}/" if stage < 5 else f"backbone/extra/0/{2 * i - 1}/"


PORTS = {
    "torchvision": Port(  # of SSD300
        names={
            r"^backbone/conv(\d)_(\d)/": _torchvision,
            r"^backbone/weight$": "backbone/scale_weight",
            r"^backbone/fc6/": "backbone/extra/0/7/1/",
            r"^backbone/fc7/": "backbone/extra/0/7/3/",
            r"^backbone/extra(\d)_(\d)/": lambda m: f"backbone/extra/{int(m[1]) - 2}/{2 * (int(m[2]) - 1)}/",
            r"^classes(\d)/": lambda m: f"head/classification_head/module_list/{int(m[1]) - 1}/",
            r"^boxes(\d)/": lambda m: f"head/regression_head/module_list/{int(m[1]) - 1}/",
        }
    )
}
