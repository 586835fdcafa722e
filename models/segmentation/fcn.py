"""FCN: a classifier slid over the image, upsampled and refined by earlier maps (Long et al. 2015).

Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015, section 4; the geometry
is that of the authors' Caffe models. `DilatedFCN` is what torchvision calls an FCN: a network whose last stages are
atrous, and a small head, without skips.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import choose
from models.layers.context import FCNHead
from models.layers.dropout import Dropout
from models.layers.norm import norm as normalisation
from models.layers.pool import max_pool_ceil
from models.layers.precision import exact
from models.layers.resize import resize
from models.layers.transposed import TransposedConv, bilinear, bilinear_init, transposed_conv
from models.port import Port

STAGES = (2, 2, 3, 3, 3)  # 3×3 convolutions of the stages of VGG-16

# Border of zeros around the image -> by stride of the stream, the pixel of the skipped map above which the first pixel
# of the upsampled one lies (negative: the other way round), and the pixel of the last upsampling above which that of
# the image lies. 100 is that of the authors, in which fc6 needs no padding; with 1, fc6 keeps the size of its map.
BORDERS = {
    100: ({16: 5, 8: 9}, {32: 19, 16: 27, 8: 31}),
    1: ({16: -1, 8: -1}, {32: 16, 16: 8, 8: 4}),
}
# Factors of the skipped maps where all streams are trained at once, which are 1 where they are trained in turn.
AT_ONCE = {"pool4": 1e-2, "pool3": 1e-4}


class FCN(nn.Module):
    """VGG-16 with convolutions of 7×7 and 1×1 for its dense layers, scores, and transposed convolutions.

    Staged training: train stride=32; begin stride=16 with its parameters (`train.init_from`, with the new layers in
    `train.init_except`), and stride=8 with those. The scores of a stream that is new are 0, so that it first answers as
    the network it begins with.
    """

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    norm: str = "none"  # "batch": before each ReLU of the stages, where nothing is pretrained
    stride: int = 8  # 32: FCN-32s, the last map alone | 16: with pool4 | 8: with pool4 and pool3
    width: int = 64  # channels of the first stage; they double up to eight times as many
    hidden: int = 4096  # channels of fc6 and fc7
    border: int = 100  # a key of BORDERS; 1 costs less where images are small
    at_once: bool = True  # the skipped maps are scaled by AT_ONCE
    learn_last: bool = False  # the last upsampling is learned too; the paper keeps it bilinear
    dropout_rate: float = 0.5  # after fc6 and fc7
    num_classes: int = 21
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float of any size -> logits [B, H, W, num_classes].

        With num_classes=0 a dictionary of maps of the image with its border: "stage1" at stride 1, ... "stage5" at 16,
        before the poolings, and "fc7" at 32.
        """
        shifts, crops = choose(BORDERS, "border", self.border)
        crop = choose(crops, "stride", self.stride)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        he = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        conv = partial(nn.Conv, kernel_init=he, **types)
        norm = normalisation(self.norm, train, self.axis_name, **types)
        score = partial(nn.Conv, self.num_classes, (1, 1), kernel_init=nn.initializers.zeros, **types)
        up = partial(TransposedConv, use_bias=False, kernel_init=bilinear_init, **types)
        dropout, (height, width) = Dropout(self.dropout_rate), x.shape[1:3]

        # A border of 99 and the convolution's own make the 100 of the first one.
        edge = (self.border - 1, self.border - 1)
        x, maps, pooled = jnp.pad(x, ((0, 0), edge, edge, (0, 0))), {}, {}
        for stage, count in enumerate(STAGES, 1):
            for i in range(1, count + 1):
                channels = self.width * min(2 ** (stage - 1), 8)
                x = conv(channels, (3, 3), padding=1, name=f"conv{stage}_{i}")(x)
                x = nn.relu(norm(name=f"norm{stage}_{i}")(x))
            maps[f"stage{stage}"] = x
            pooled[f"pool{stage}"] = x = max_pool_ceil(x, 2, 2)
        x = nn.relu(conv(self.hidden, (7, 7), padding=0 if self.border == 100 else 3, name="fc6")(x))
        x = dropout(x, train)
        x = dropout(nn.relu(conv(self.hidden, (1, 1), name="fc7")(x)), train)
        maps["fc7"] = x
        if not self.num_classes:
            return maps

        x = score(name="score_fr")(x)
        for stride, name in ((16, "pool4"), (8, "pool3")):
            if self.stride <= stride:
                x = up(self.num_classes, 4, 2, name=f"upscore_{name}")(x)
                skipped = score(name=f"score_{name}")(pooled[name] * (AT_ONCE[name] if self.at_once else 1.0))
                if shifts[stride] > 0:
                    skipped = _cropped(skipped, shifts[stride], x.shape[1:3])
                else:
                    x = _cropped(x, -shifts[stride], skipped.shape[1:3])
                x += skipped
        if self.learn_last:
            x = up(self.num_classes, 2 * self.stride, self.stride, name=f"upscore{self.stride}")(x)
        else:
            x = upsample(x, self.stride)
        return exact(_cropped(x, crop, (height, width)))


class DilatedFCN(nn.Module):
    """The map of a backbone, `FCNHead`, and bilinear interpolation to the size of the image."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    backbone: nn.Module  # (image, train) -> maps; resnet: output_stride=8
    level: str = "stage4"
    # Weight of the loss of a second head over the map `auxiliary_level`, for training; 0: there is none. torchvision:
    # 0.5
    auxiliary: float = 0.0
    auxiliary_level: str = "stage3"
    hidden: bool = True  # False: the classifier of pixels alone, as Yu et al. 2017 over a DRN
    dropout_rate: float = 0.1
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
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        he = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        classifier = partial(nn.Conv, kernel_init=nn.initializers.normal(0.01), **types)
        head = partial(
            FCNHead,
            self.num_classes,
            partial(nn.Conv, use_bias=False, kernel_init=he, **types),
            normalisation("batch", train, self.axis_name, **types),
            classifier,
            self.dropout_rate,
        )
        size = x.shape[1:3]
        found = choose(maps, "level", self.level)
        if self.hidden:
            logits = head(name="head")(found, train)
        else:
            logits = classifier(self.num_classes, (1, 1), name="classifier")(found)
        logits = resize(exact(logits), *size)
        if not (self.auxiliary and (train or self.is_initializing())):
            return logits
        other = head(name="auxiliary_head")(choose(maps, "auxiliary_level", self.auxiliary_level), train)
        return (logits, resize(exact(other), *size)) if train else logits


def upsample(x, factor: int):
    """Bilinear upsampling as a transposed convolution: [B, h, w, C] -> [B, (h + 1) · factor, (w + 1) · factor, C].

    Pixels beyond the map count as 0.
    """
    sides = tuple((n + 1) * factor for n in x.shape[1:3])
    plane = jnp.outer(*[jnp.asarray(bilinear(2 * factor), x.dtype)] * 2)[:, :, None, None]
    channels = jnp.moveaxis(x, -1, 1).reshape(-1, *x.shape[1:3], 1)
    y = transposed_conv(channels, plane, factor, 0, sides)
    return jnp.moveaxis(y.reshape(len(x), x.shape[-1], *sides), 1, -1)


def _cropped(x, start: int, size: tuple[int, int]):
    """The part of x [B, H, W, C] that begins at row and column `start`, [B, *size, C]."""
    return x[:, start : start + size[0], start : start + size[1]]


PORTS = {
    "pytorch_fcn": Port(  # https://github.com/wkentaro/pytorch-fcn
        names={r"^upscore_pool4/": "upscore2/", r"^upscore_pool3/": "upscore_pool4/"}
    ),
    "torchvision": Port(  # of DilatedFCN over a resnet
        names={
            r"/shortcut/": "/downsample/0/",
            r"/shortcut_bn/": "/downsample/1/",
            r"/layer(\d)_(\d+)/": r"/layer\1/\2/",
            r"^head/": "classifier/",
            r"^auxiliary_head/": "aux_classifier/",
            r"/hidden/conv/": "/0/",
            r"/hidden/norm/": "/1/",
            r"^(\w*classifier)/classifier/": r"\1/4/",
        }
    ),
}
