"""YOLO: each cell of one map, or of three, predicts its boxes and classes in one pass (Redmon et al. 2016).

Version 1: Redmon, Divvala, Girshick, Farhadi, "You Only Look Once", CVPR 2016. Version 2: Redmon & Farhadi, "YOLO9000",
CVPR 2017. Version 3: Redmon & Farhadi, "YOLOv3: An Incremental Improvement", arXiv 1804.02767. Their losses are
training/tasks/yolo.py. Layers and anchors are those of darknet's configuration files.
"""

import math
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from models.classification.darknet import Layer
from models.errors import ModelError, choose
from models.layers import anchors
from models.layers.dropout import Dropout
from models.layers.norm import norm as normalisation
from models.layers.pool import max_pool
from models.layers.precision import exact
from models.layers.pyramid import levels_of, per_anchor

# Version 1, figure 3: (channels, window, stride) or the pooling "M".
V1 = {
    "full": (
        *((64, 7, 2), "M", (192, 3, 1), "M", (128, 1, 1), (256, 3, 1), (256, 1, 1), (512, 3, 1), "M"),
        *((256, 1, 1), (512, 3, 1)) * 4,
        *((512, 1, 1), (1024, 3, 1), "M"),
        *((512, 1, 1), (1024, 3, 1)) * 2,
        *((1024, 3, 1), (1024, 3, 2), (1024, 3, 1), (1024, 3, 1)),
    ),
    # yolov1-tiny.cfg
    "tiny": (
        *((16, 3, 1), "M", (32, 3, 1), "M", (64, 3, 1), "M", (128, 3, 1), "M", (256, 3, 1), "M", (512, 3, 1), "M"),
        *((1024, 3, 1), (256, 3, 1)),
    ),
}
# Version 2, in cells of 32 pixels.
V2_VOC = ((1.3221, 1.73145), (3.19275, 4.00944), (5.05587, 8.09892), (9.47112, 4.84053), (11.2364, 10.0071))
# Version 3, in pixels, for the maps of strides 8, 16 and 32.
V3_COCO = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)


def _layers(module, train: bool):
    """(a convolution with BatchNorm and leaky ReLU of slope 0.1, a plain convolution)."""
    types = dict(dtype=module.dtype, param_dtype=module.param_dtype)
    conv = partial(nn.Conv, use_bias=False, **types)
    norm = normalisation("batch", train, module.axis_name, **types)
    return partial(Layer, slope=0.1, conv=conv, norm=norm), partial(nn.Conv, kernel_size=(1, 1), **types)


def _strides(maps, image) -> list[int]:
    """The side, in pixels, of a cell of each of the backbone's maps, finest first.

    Raises ModelError where square cells do not cover the image, or sides are not twice those of the map before.
    """
    sides, found = image.shape[1:3], []
    for x in maps:
        stride = 2 ** round(math.log2(sides[0] / max(x.shape[1], 1)))
        whole = tuple(stride * cells for cells in x.shape[1:3]) == sides
        if not whole or (found and stride != 2 * found[-1]):
            raise ModelError(
                f"cells of {stride} pixels do not cover an image of {sides[0]}×{sides[1]} pixels, or their sides are"
                " not twice those of the finer map: take multiples of 32"
            )
        found.append(stride)
    return found


def _answer(maps, sizes, strides, classes: int):
    """The outputs of versions 2 and 3.

    maps: [B, h, w, A · (5 + K)], with the (w, h) of A anchors in `sizes` and pixels of a cell in `strides` for each.
    """
    parts = [exact(x) for x in per_anchor(maps, 5 + classes)]
    boxes = []
    for x, size, stride in zip(maps, sizes, strides, strict=True):
        half = np.array(size, np.float64) / 2
        cells = np.concatenate([-half, half], 1)
        boxes.append(anchors.grid(cells, x.shape[1:3], (stride, stride), offset=0.5))
    return {
        "codes": tuple(x[..., :4] for x in parts),
        "objectness": tuple(x[..., 4] for x in parts),
        "logits": tuple(x[..., 5:] for x in parts),
        "anchors": tuple(jnp.asarray(x, parts[0].dtype) for x in boxes),
        "strides": tuple(jnp.full(len(x), step, parts[0].dtype) for x, step in zip(boxes, strides, strict=True)),
    }


class TinyDarknet(nn.Module):
    """The trunk of the tiny versions: 3×3 convolutions whose channels double, a 2×2 max pooling after each."""

    conditions: ClassVar[tuple[str, ...]] = ()

    width: int = 16  # channels of the first convolution
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, 3] float, at least 32×32 -> maps "stage4" at stride 16 and "stage5" at 32."""
        layer, _ = _layers(self, train)
        for i in range(5):
            x = layer(self.width * 2**i, 3, name=f"conv{i}")(x)
            stage4 = x
            x = max_pool(x)
        x = layer(self.width * 32, 3, name="conv5")(x)
        x = nn.max_pool(x, (2, 2), padding=((0, 1), (0, 1)))
        return {"stage4": stage4, "stage5": layer(self.width * 64, 3, name="conv6")(x)}


class YOLOv1(nn.Module):
    """Convolutions, then fully connected layers that see the whole image: B boxes for each of S × S cells."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    variant: str = "full"  # a name in V1
    norm: str = "none"  # "none": the paper's | "batch": that of darknet's later files, without biases
    width: float = 1.0  # multiplies all channels
    hidden: int = 4096  # of the fully connected layer between; 0: there is none, as in the tiny variant
    boxes: int = 2  # B, of a cell
    dropout_rate: float = 0.5
    num_classes: int = 20
    headless: bool = False  # True: the last map, "stage6", is the answer
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, 3] float (the paper: 448×448) -> a dictionary, for S × S cells at stride 64:

        logits [B, S, S, K]: the probabilities of the classes, linear
        confidence [B, S, S, B']: of each box
        boxes [B, S, S, B', 4]: (x, y) of the centre from the cell's corner, in cells; √w and √h, in images
        """
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        batched = self.norm != "none"
        norm = normalisation(self.norm, train, self.axis_name, **types)
        for i, layer in enumerate(choose(V1, "variant", self.variant)):
            if layer == "M":
                x = max_pool(x)
                continue
            channels, window, stride = layer
            channels, name = max(1, int(channels * self.width)), f"conv{i}"
            sides = window, window
            x = nn.Conv(channels, sides, stride, padding=window // 2, use_bias=not batched, name=name, **types)(x)
            x = nn.leaky_relu(norm(name=f"norm{i}")(x), 0.1)
        if self.headless:
            return {"stage6": x}
        rows, columns = x.shape[1:3]
        numbers = self.num_classes + 5 * self.boxes
        x = x.reshape(len(x), -1)
        if self.hidden:
            x = nn.leaky_relu(nn.Dense(self.hidden, name="fc1", **types)(x), 0.1)
            x = Dropout(self.dropout_rate)(x, train)
        x = exact(nn.Dense(rows * columns * numbers, name="fc2", **types)(x)).reshape(-1, rows, columns, numbers)
        logits, confidence, boxes = jnp.split(x, (self.num_classes, self.num_classes + self.boxes), -1)
        return {"logits": logits, "confidence": confidence, "boxes": boxes.reshape(*boxes.shape[:3], self.boxes, 4)}


class YOLOv2(nn.Module):
    """Convolutions over the last map, beside which a finer one is put: boxes relative to learnt sizes."""

    conditions: ClassVar[tuple[str, ...]] = ()

    backbone: nn.Module  # (image, train) -> {level: map}; the paper's is Darknet-19
    level: str = "stage5"  # of the backbone, at stride 32
    passthrough: str = "stage4"  # of the backbone, at stride 16; "": none
    widths: tuple[int, ...] = (1024, 1024)  # channels of the convolutions over the last map, before it meets the other
    narrow: int = 64  # channels of the finer map, before its four neighbours become one
    anchors: tuple[tuple[float, float], ...] = V2_VOC  # (w, h) in strides
    num_classes: int = 20
    headless: bool = False  # True: the maps of the backbone are the answer
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float, multiples of 32 (the paper: 416×416) -> a dictionary, with tuples of one array:

        codes [B, A, 4]: of boxes; objectness [B, A] and logits [B, A, K]
        anchors [A, 4]: (x1, y1, x2, y2) in pixels of x about the centres of the cells; strides [A]
        """
        layer, conv = _layers(self, train)
        maps = self.backbone(x, train)
        if self.headless:
            return maps
        y = choose(maps, "level", self.level)
        finer = [choose(maps, "passthrough", self.passthrough)] if self.passthrough else []
        *_, stride = _strides([*finer, y], x)
        for i, width in enumerate(self.widths):
            y = layer(width, 3, name=f"conv{i}")(y)
        if finer:
            fine = layer(self.narrow, 1, name="narrow")(finer[0])
            y = layer(self.widths[-1], 3, name="joined")(jnp.concatenate([reorganised(fine), y], -1))
        y = conv(len(self.anchors) * (5 + self.num_classes), name="answer")(y)
        return _answer([y], [stride * np.array(self.anchors)], [stride], self.num_classes)


def reorganised(x):
    """Four neighbours become one cell: [B, h, w, C] -> [B, h/2, w/2, 4C], in the order of darknet's "reorg".

    It is not that of space-to-depth: darknet reads the memory of C maps as C/4 maps of twice the size, takes every
    second pixel of these, and reads the result as maps of half the size.
    """
    batch, height, width, channels = x.shape
    if height % 2 or width % 2 or channels % 4:
        raise ModelError(
            f"a map of {height}×{width} with {channels} channels cannot be halved: take multiples of 2, and 4"
        )
    x = x.transpose(0, 3, 1, 2).reshape(batch, channels // 4, height, 2, width, 2)
    x = x.transpose(0, 3, 5, 1, 2, 4).reshape(batch, 4 * channels, height // 2, width // 2)
    return x.transpose(0, 2, 3, 1)


class YOLOv3(nn.Module):
    """Three maps, each joined with the enlarged features of the coarser one, with three anchors each."""

    conditions: ClassVar[tuple[str, ...]] = ()

    backbone: nn.Module  # (image, train) -> {level: map}; the paper's is Darknet-53
    levels: tuple[str, ...] = ("stage3", "stage4", "stage5")  # of the backbone, finest first
    width: int = 512  # channels of the 1×1 convolutions on the coarsest map; half as many on each finer one
    sets: tuple[int, ...] = (5, 5, 5)  # convolutions on each map, 1×1 and 3×3 in turn, finest first
    anchors: tuple[tuple[tuple[float, float], ...], ...] = V3_COCO  # (w, h) in pixels, of each map
    num_classes: int = 80
    headless: bool = False  # True: the maps of the backbone are the answer
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float, multiples of 32 (the paper: 416×416) -> a dictionary, with an array for each map:

        codes [B, A, 4]: of boxes; objectness [B, A] and logits [B, A, K]
        anchors [A, 4]: (x1, y1, x2, y2) in pixels of x about the centres of the cells; strides [A]
        """
        layer, conv = _layers(self, train)
        maps = self.backbone(x, train)
        if self.headless:
            return maps
        maps, y, answers = levels_of(maps, self.levels, len(self.anchors)), None, []
        strides = _strides(maps, x)
        for level in reversed(range(len(maps))):
            width = self.width // 2 ** (len(maps) - 1 - level)
            if y is None:
                y = maps[level]
            else:
                y = layer(width, 1, name=f"up{level}")(y).repeat(2, 1).repeat(2, 2)
                y = jnp.concatenate([y, maps[level]], -1)
            for i in range(self.sets[level]):
                y = layer(width * (1 + i % 2), 3 if i % 2 else 1, name=f"set{level}_{i}")(y)
            wide = layer(2 * width, 3, name=f"wide{level}")(y)
            answers.append(conv(len(self.anchors[level]) * (5 + self.num_classes), name=f"answer{level}")(wide))
        return _answer(answers[::-1], self.anchors, strides, self.num_classes)
