"""ResNet, ResNeXt, Wide ResNet and SE-ResNet: blocks that learn a correction to their input (He et al. 2016).

He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, table 1.

"v1" is the paper's bottleneck, which strides in its first 1×1 convolution (ResNet-50: 3.86 G multiply-adds);
"v1.5" strides in the 3×3 (4.09 G), as torchvision and most published accuracies do.

Fields make it the networks that differ from it by one idea: ResNeXt (`groups`; Xie et al., CVPR 2017), Wide ResNet
(`base_width`; Zagoruyko & Komodakis, BMVC 2016), SE-ResNet, CBAM, non-local and selective kernel networks
(`attention`), anti-aliased networks (`blur`; Zhang, ICML 2019), networks of atrous convolutions (`output_stride`; Chen
et al. 2017) and of deformable ones (`deformable`; Dai et al., ICCV 2017; Zhu et al., CVPR 2019).
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError, choose
from models.layers.blur_pool import blur_pool
from models.layers.cbam import CBAM
from models.layers.deformable import DeformableConv
from models.layers.grouped_conv import grouped_conv
from models.layers.non_local import NonLocal
from models.layers.norm import norm as normalisation
from models.layers.precision import exact
from models.layers.rounding import divisible
from models.layers.selective_kernel import SelectiveKernel
from models.layers.squeeze_excite import SqueezeExcite
from models.port import Port

# Blocks per stage: table 1, and the shallow bottleneck networks that timm has.
DEPTHS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    14: (1, 1, 1, 1),
    26: (2, 2, 2, 2),
    29: (3, 3, 3),  # Xie et al. 2017, section 5.3, for CIFAR
}
BASIC = (18, 34)  # depths whose blocks are two 3×3 convolutions; the others' are bottlenecks
VERSIONS = {"v1.5": False, "v1": True}  # does the bottleneck stride in its first convolution?

STEMS = {"imagenet": (7, 2), "cifar": (3, 1), "pointwise": (1, 1)}  # window and stride of the first convolution

# Selective kernels: whether each of the two convolutions reads its half of the channels, and the least hidden width.
# "sk" is the paper's, "sk_split" that of timm's skresnet50.
SELECTIVE = {"sk": (False, 32), "sk_split": (True, 8)}
ATTENTION = ("none", "se", "cbam", "non_local", *SELECTIVE)

# Whether the samples of a deformable convolution are weighted too.
DEFORMABLE = {"none": None, "v1": False, "v2": True}


def shortcut(x, y, strides, conv, norm):
    """The identity, or where the shape changes a strided 1×1 projection to that of y (option B)."""
    if x.shape == y.shape:
        return x
    return norm(name="shortcut_bn")(conv(y.shape[-1], (1, 1), strides, padding=0, name="shortcut")(x))


def strided(x, channels, strides, number, dilation, conv, norm, selective, blur):
    """The 3×3 convolution in which a block strides, BatchNorm and ReLU.

    x: [B, H, W, C] -> [B, H/strides, W/strides, channels]. With `blur` the convolution does not stride, and a blur
    after the ReLU does. `selective` is a constructor that replaces convolution, BatchNorm and ReLU.
    """
    step = 1 if blur else strides
    if selective:
        x = selective(channels, step, name=f"sk{number}")(x)
    else:
        x = conv(channels, (3, 3), step, padding=dilation, kernel_dilation=dilation, name=f"conv{number}")(x)
        x = nn.relu(norm(name=f"bn{number}")(x))
    return blur_pool(x) if blur and strides > 1 else x


class BasicBlock(nn.Module):
    """Two 3×3 convolutions around which the input is added. Figure 5, left."""

    channels: int
    strides: int
    conv: Any
    norm: Any
    dilation: int
    strided: Any  # (x, channels, strides, number, dilation) -> the convolution that strides, normalised and rectified
    attend: Any  # map -> map, applied to what is added
    last_scale: Any  # initial scale of the branch's last BatchNorm

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H/strides, W/strides, channels]."""
        y = self.strided(x, self.channels, self.strides, 1, self.dilation)
        y = self.conv(self.channels, (3, 3), padding=self.dilation, kernel_dilation=self.dilation, name="conv2")(y)
        y = self.attend(self.norm(scale_init=self.last_scale, name="bn2")(y))
        return nn.relu(shortcut(x, y, self.strides, self.conv, self.norm) + y)


class Bottleneck(nn.Module):
    """1×1 to `width` channels, 3×3, 1×1 to four times `channels`. Figure 5, right."""

    channels: int
    strides: int
    conv: Any
    norm: Any
    dilation: int
    strided: Any
    attend: Any
    last_scale: Any
    stride_first: bool
    widths: tuple[int, int]  # channels of a group where `channels` is 64, and groups. Xie et al. 2017, table 1

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H/strides, W/strides, 4 channels]."""
        first, second = (self.strides, 1) if self.stride_first else (1, self.strides)
        base_width, groups = self.widths
        width = self.channels * base_width // 64 * groups
        y = self.conv(width, (1, 1), first, padding=0, name="conv1")(x)
        y = nn.relu(self.norm(name="bn1")(y))
        y = self.strided(y, width, second, 2, self.dilation)
        y = self.conv(4 * self.channels, (1, 1), padding=0, name="conv3")(y)
        y = self.attend(self.norm(scale_init=self.last_scale, name="bn3")(y))
        return nn.relu(shortcut(x, y, self.strides, self.conv, self.norm) + y)


class ResNet(nn.Module):
    """7×7/2 convolution, 3×3/2 max pooling, stages of blocks, the mean over space, classifier."""

    conditions: ClassVar[tuple[str, ...]] = ()

    depth: int = 50  # a key of DEPTHS
    version: str = "v1.5"  # "v1.5" | "v1"; the same network for depths 18 and 34
    # "imagenet" | "cifar": a 3×3 convolution without stride or pooling, for images of 32×32 | "pointwise": a 1×1
    # convolution in its place, as in the ResNeXt-29 of kuangliu's pytorch-cifar
    stem: str = "imagenet"
    width: int = 64  # channels of the first stage; they double from stage to stage
    groups: int = 1  # of the 3×3 convolution of a bottleneck; 32: ResNeXt
    base_width: int = 64  # channels of each group in the first stage; ResNeXt-50: 4, Wide ResNet-50-2: 128
    # "se": squeeze and excitation before the sum. Hu et al. 2018 | "cbam": Woo et al. 2018 | "non_local": after every
    # second block of stages 2 and 3. Wang et al. 2018, section 4.1 | "sk", "sk_split": Li et al. 2019
    attention: str = "none"
    reduction: int = 16  # channels over hidden width of "se" and "cbam"
    blur: bool = False  # blur where a stage or the pooling strides; as in timm's resnetblur50, shortcuts do not
    # A stage that would exceed this stride does not stride; it and those after it dilate their 3×3 convolutions.
    output_stride: int = 32
    multi_grid: tuple[int, ...] = ()  # factors of the dilations of the last stage's blocks. Chen et al. 2017, section 3
    # "v1": the 3×3 convolutions of the last stages that stride in an undilated network sample where an offset says |
    # "v2": and weigh their samples
    deformable: str = "none"
    deformable_stages: int = 1  # how many, from the last; Zhu et al. 2019: 3
    zero_init_residual: bool = False  # every block starts as the identity. Goyal et al. 2017, section 5.1
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, 3] float (the paper: 224×224) -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps: "stem" at stride 2, before the pooling, "stage1" at 4 to "stage4" at
        32, or at most `output_stride`, and "pre_logits", the mean over space. Without stride and pooling in the stem,
        strides are 1 to 8.
        """
        blocks = choose(DEPTHS, "depth", self.depth)
        stride_first = choose(VERSIONS, "version", self.version)
        choose(dict.fromkeys(ATTENTION), "attention", self.attention)
        window, step = choose(STEMS, "stem", self.stem)
        basic = self.depth in BASIC
        if basic and (self.groups, self.base_width) != (1, 64):
            raise ModelError(f"groups and base_width are of bottlenecks, which depth={self.depth} has not: take 50")
        if min(self.groups, self.reduction) < 1 or self.width * self.base_width < 64:
            raise ModelError("groups, reduction and width · base_width / 64 are at least 1")
        if self.attention == "non_local" and min(blocks[1:3]) < 2:
            raise ModelError(
                f"non_local is after every second block of a stage, and depth={self.depth} has one: take 26"
            )
        if self.blur and stride_first:
            raise ModelError('blur needs version="v1.5": that of "v1" strides in a 1×1 convolution')
        modulated = choose(DEFORMABLE, "deformable", self.deformable)
        reached, dilated = 4 if step > 1 else 1, self.output_stride < 32 or max(self.multi_grid, default=1) > 1
        if self.output_stride not in (1, 2, 4, 8, 16, 32) or self.output_stride < reached:
            raise ModelError(f"output_stride={self.output_stride} is not a power of 2 from {reached} to 32")
        if (dilated or modulated is not None) and (self.blur or self.attention in SELECTIVE):
            raise ModelError("atrous and deformable convolutions exclude blur and selective kernels")
        if modulated is not None and self.groups > 1:
            raise ModelError(f"deformable convolutions have one group of channels, not groups={self.groups}")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        he = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        # Paddings are explicit because "SAME" pads an even picture on one side only where the stride is 2.
        conv = partial(nn.Conv, use_bias=False, kernel_init=he, **types)
        norm = normalisation("batch", train, self.axis_name, **types)

        grouped = conv
        if self.groups > 1:
            grouped = partial(conv, feature_group_count=self.groups, conv_general_dilated=grouped_conv)

        def selective(channels, strides, name):
            split, least = SELECTIVE[self.attention]
            return SelectiveKernel(channels, strides, max(channels // 16, least), split, conv, grouped, norm, name=name)

        def attend(x):
            if self.attention == "se":
                return SqueezeExcite(divisible(x.shape[-1] / self.reduction), name="se", **types)(x)
            if self.attention == "cbam":
                return CBAM(divisible(x.shape[-1] / self.reduction, 1), norm, name="cbam", **types)(x)
            return x

        block = BasicBlock
        if not basic:
            block = partial(Bottleneck, stride_first=stride_first, widths=(self.base_width, self.groups))
        one = partial(
            strided,
            norm=norm,
            selective=selective if self.attention in SELECTIVE else None,
            blur=self.blur,
        )
        block = partial(
            block,
            conv=conv,
            norm=norm,
            attend=attend,
            last_scale=nn.initializers.zeros if self.zero_init_residual else nn.initializers.ones,
        )

        x = conv(self.width, (window, window), step, padding=window // 2, name="conv1")(x)
        x = nn.relu(norm(name="bn1")(x))
        maps = {"stem": x}
        if step > 1:
            pool = partial(nn.max_pool, window_shape=(3, 3), padding=((1, 1), (1, 1)))  # linen pads with -inf
            x = blur_pool(pool(x)) if self.blur else pool(x, strides=(2, 2))
        dilation = 1
        for stage, count in enumerate(blocks):
            before, stride = dilation, 2 if stage > 0 else 1
            if reached * stride > self.output_stride:
                dilation, stride = dilation * stride, 1
            reached *= stride
            last = stage == len(blocks) - 1
            of_stage = grouped
            if modulated is not None and stage >= len(blocks) - self.deformable_stages:
                of_stage = partial(DeformableConv, modulated=modulated, kernel_init=he, use_bias=False, **types)
            for i in range(count):
                # The first block reads a map that is not yet dilated so far, as in torchvision.
                own = before if i == 0 else dilation
                if last and self.multi_grid:
                    own = dilation * self.multi_grid[i % len(self.multi_grid)]
                x = block(
                    self.width * 2**stage,
                    stride if i == 0 else 1,
                    dilation=own,
                    strided=partial(one, conv=of_stage),
                    name=f"layer{stage + 1}_{i}",
                )(x)
                if self.attention == "non_local" and stage in (1, 2) and i % 2:
                    x = NonLocal(norm, name=f"non_local{stage + 1}_{i}", **types)(x)
            maps[f"stage{stage + 1}"] = x
        x = x.mean((1, 2))
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        x = nn.Dense(
            self.num_classes,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            kernel_init=nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform"),
            name="fc",
        )(x)
        return exact(x)


class CifarResNeXt(ResNet):
    """ResNeXt-29, 8×64d: three stages for images of 32×32. Xie et al. 2017, section 5.3."""

    depth: int = 29
    stem: str = "cifar"
    groups: int = 8
    num_classes: int = 10


BOTH = {
    r"/shortcut/": "/downsample/0/",
    r"/shortcut_bn/": "/downsample/1/",
    r"^layer(\d)_(\d+)/": r"layer\1/\2/",
}
TIMM = {
    **BOTH,
    r"/se/reduce/": "/se/fc1/",
    r"/se/expand/": "/se/fc2/",
    r"/cbam/(reduce|expand)/": lambda match: f"/se/channel/fc{1 if match[1] == 'reduce' else 2}/",
    r"/cbam/(conv|bn)/": r"/se/spatial/conv/\1/",
}
PORTS = {
    "torchvision": Port(names=BOTH, fields=dict(version="v1.5")),
    "timm": Port(names=TIMM, fields=dict(version="v1.5")),
    # timm's blocks with selective kernels name a BatchNorm by its convolution.
    "timm_sk": Port(
        names={
            **TIMM,
            r"/sk(\d)/(conv|bn)(\d)/": r"/conv\1/paths/\3/\2/",
            r"/sk(\d)/(reduce|select)/": r"/conv\1/attn/fc_\2/",
            r"/sk(\d)/bn/": r"/conv\1/attn/bn/",
            r"^(layer\d/\d+)/(conv|bn)(\d)/(?!paths|attn)": r"\1/conv\3/\2/",
        }
    ),
}
