"""DeepLab: atrous convolutions keep the maps large and see far (Chen et al. 2015).

v1: Chen, Papandreou, Kokkinos, Murphy, Yuille, "Semantic Image Segmentation with Deep Convolutional Nets and Fully
Connected CRFs", ICLR 2015: one head, of a large field of view. v2: the same authors, TPAMI 2018, section 3.2: the sum
of four such heads. v3: Chen, Papandreou, Schroff, Adam, "Rethinking Atrous Convolution", 2017. v3+: Chen, Zhu,
Papandreou, Schroff, Adam, ECCV 2018, figure 2: with a decoder that reads an early map.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import choose
from models.layers.context import ASPP, ConvNorm, FCNHead
from models.layers.dropout import Dropout
from models.layers.norm import norm as normalisation
from models.layers.precision import exact
from models.layers.resize import resize
from models.port import Port

# v3, section 4: the rates belong to an output stride of 16, and are doubled at 8.
RATES_AT_16 = (6, 12, 18)


class DeepLab(nn.Module):
    """v1 and v2: heads with an atrous convolution each over one map, whose logits are summed and interpolated."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    backbone: nn.Module  # (image, train) -> maps; the paper: vgg of output_stride=8 and hidden=()
    level: str = "stage5"
    dilations: tuple[int, ...] = (6, 12, 18, 24)  # of the heads: ASPP-L of v2; (12,) is the LargeFOV of v1
    hidden: int = 1024  # channels of the two hidden layers of a head; 0: a classifier alone, as over the ResNet of v2
    # The map is pooled over 3×3 without stride, as the last pooling of the authors' VGG does. (Their first three have
    # windows of 3×3 too, where those of vgg have 2×2.)
    pooled: bool = True
    dropout_rate: float = 0.5  # after each hidden layer
    num_classes: int = 21
    headless: bool = False  # True: the maps of the backbone are the answer
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float, of a size that the backbone takes -> logits [B, H, W, num_classes]."""
        maps = self.backbone(x, train)
        if self.headless:
            return maps
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        he = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        conv, classifier = (partial(nn.Conv, kernel_init=init, **types) for init in (he, nn.initializers.normal(0.01)))
        dropout = Dropout(self.dropout_rate)
        found = choose(maps, "level", self.level)
        if self.pooled:
            found = nn.max_pool(found, window_shape=(3, 3), padding=((1, 1), (1, 1)))
        logits = 0
        for i, dilation in enumerate(self.dilations, 1):
            atrous = dict(padding=dilation, kernel_dilation=dilation)
            if not self.hidden:
                logits += classifier(self.num_classes, (3, 3), **atrous, name=f"fc8_{i}")(found)
                continue
            y = dropout(nn.relu(conv(self.hidden, (3, 3), **atrous, name=f"fc6_{i}")(found)), train)
            y = dropout(nn.relu(conv(self.hidden, (1, 1), name=f"fc7_{i}")(y)), train)
            logits += classifier(self.num_classes, (1, 1), name=f"fc8_{i}")(y)
        return resize(exact(logits), *x.shape[1:3])


class DeepLabV3(nn.Module):
    """v3 and v3+: atrous spatial pyramid pooling, and with `low` a decoder over an early map beside it."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate", "head_dropout_rate")

    backbone: nn.Module  # (image, train) -> maps; resnet: output_stride=16 or 8
    level: str = "stage4"
    low: str = ""  # the early map; v3+: "stage1". "": there is no decoder
    dilations: tuple[int, ...] = ()  # (): RATES_AT_16 over 16 times the stride of the map
    width: int = 256  # channels of the pyramid's branches and of the decoder
    low_width: int = 48  # channels of the early map in the decoder
    convs: int = 1  # 3×3 convolutions before the classifier: the paper of v3 0, torchvision 1, v3+ 2
    # Weight of the loss of a second head over the map `auxiliary_level`, for training; 0: there is none. torchvision:
    # 0.5
    auxiliary: float = 0.0
    auxiliary_level: str = "stage3"
    dropout_rate: float = 0.5  # behind the pyramid
    head_dropout_rate: float = 0.1  # in the second head
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
        conv = partial(nn.Conv, use_bias=False, kernel_init=he, **types)
        norm = normalisation("batch", train, self.axis_name, **types)
        classifier = partial(nn.Conv, kernel_init=nn.initializers.normal(0.01), **types)
        size, found = x.shape[1:3], choose(maps, "level", self.level)
        stride = round(size[0] / found.shape[1])
        dilations = self.dilations or tuple(max(1, rate * 16 // stride) for rate in RATES_AT_16)

        y = ASPP(dilations, self.width, conv, norm, self.dropout_rate, name="aspp")(found, train)
        if self.low:
            early = choose(maps, "low", self.low)
            y = resize(y, *early.shape[1:3])
            y = jnp.concatenate([ConvNorm(self.low_width, 1, conv, norm, name="low_level")(early), y], -1)
        for i in range(1, self.convs + 1):
            y = ConvNorm(self.width, 3, conv, norm, name=f"refine{i}")(y)
        logits = resize(exact(classifier(self.num_classes, (1, 1), name="classifier")(y)), *size)
        if not (self.auxiliary and (train or self.is_initializing())):
            return logits
        head = FCNHead(self.num_classes, conv, norm, classifier, self.head_dropout_rate, name="auxiliary_head")
        other = head(choose(maps, "auxiliary_level", self.auxiliary_level), train)
        return (logits, resize(exact(other), *size)) if train else logits


PORTS = {
    "torchvision": Port(  # of DeepLabV3 over a resnet
        names={
            r"/shortcut/": "/downsample/0/",
            r"/shortcut_bn/": "/downsample/1/",
            r"/layer(\d)_(\d+)/": r"/layer\1/\2/",
            r"^aspp/point/": "classifier/0/convs/0/",
            r"^aspp/rate(\d)/": lambda match: f"classifier/0/convs/{int(match[1]) + 1}/",
            r"^aspp/image/": "classifier/0/convs/4/1/",
            r"^aspp/project/": "classifier/0/project/",
            r"convs/4/1/conv/": "convs/4/1/",
            r"convs/4/1/norm/": "convs/4/2/",
            r"^(classifier/0/.*)/conv/": r"\1/0/",
            r"^(classifier/0/.*)/norm/": r"\1/1/",
            r"^refine1/conv/": "classifier/1/",
            r"^refine1/norm/": "classifier/2/",
            r"^classifier/(kernel|weight|bias)": r"classifier/4/\1",
            r"^auxiliary_head/hidden/conv/": "aux_classifier/0/",
            r"^auxiliary_head/hidden/norm/": "aux_classifier/1/",
            r"^auxiliary_head/classifier/": "aux_classifier/4/",
        }
    )
}
