"""ShuffleNet V2: half of the channels pass by, then channels are shuffled (Ma et al. 2018).

Ma, Zhang, Zheng, Sun, "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design", ECCV 2018, figure 3
and table 5.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError, check_length, choose
from models.layers.grouped_conv import grouped_conv
from models.layers.norm import norm as normalisation
from models.layers.precision import exact
from models.port import Port

# Table 5: channels of the three stages and of the last convolution.
VARIANTS = {
    "x0.5": (48, 96, 192, 1024),
    "x1.0": (116, 232, 464, 1024),
    "x1.5": (176, 352, 704, 1024),
    "x2.0": (244, 488, 976, 2048),
}
DEPTHS = (4, 8, 4)  # blocks of each stage


def shuffle(x):
    """Channels of the two halves in turn: x [B, H, W, C] -> [B, H, W, C]."""
    return x.reshape(*x.shape[:-1], 2, -1).swapaxes(-1, -2).reshape(x.shape)


class Block(nn.Module):
    """Figure 3: (c) of stride 1 convolves one half of the channels; (d) of stride 2 convolves all of them, twice."""

    channels: int
    strides: int
    conv: Any
    norm: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H/strides, W/strides, channels]."""
        half = self.channels // 2

        def pointwise(x, name):
            return nn.relu(self.norm(name=f"{name}_bn")(self.conv(half, (1, 1), name=name)(x)))

        def depthwise(x, name):
            fields = dict(padding=1, feature_group_count=x.shape[-1], conv_general_dilated=grouped_conv, name=name)
            return self.norm(name=f"{name}_bn")(self.conv(x.shape[-1], (3, 3), self.strides, **fields)(x))

        if self.strides == 1:
            passed, x = jnp.split(x, 2, -1)
        else:
            passed = pointwise(depthwise(x, "passed_depthwise"), "passed")
        x = pointwise(depthwise(pointwise(x, "first"), "depthwise"), "last")
        return shuffle(jnp.concatenate([passed, x], -1))


class ShuffleNetV2(nn.Module):
    """3×3/2 convolution and max pooling, three stages of blocks, 1×1 convolution, the mean over space, classifier."""

    conditions: ClassVar[tuple[str, ...]] = ()

    variant: str = "x1.0"  # a name in VARIANTS
    depths: tuple[int, ...] = DEPTHS
    channels: tuple[int, ...] = ()  # of the three stages and the last convolution, in place of the variant's
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float (the paper: 224×224) -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps: "stem" at stride 2, before the pooling, "stage1" at 8 to "stage3" at
        32, and "pre_logits", the mean of the last convolution over space.
        """
        check_length("depths", self.depths, len(DEPTHS))
        check_length("channels", self.channels, len(DEPTHS) + 1)
        *stages, last = self.channels or choose(VARIANTS, "variant", self.variant)
        if any(channels % 2 for channels in stages):
            raise ModelError(f"channels={tuple(stages)} of the stages must be even: blocks halve them")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        he = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        conv = partial(nn.Conv, use_bias=False, kernel_init=he, padding=0, **types)
        norm = normalisation("batch", train, self.axis_name, **types)

        x = nn.relu(norm(name="stem_bn")(conv(24, (3, 3), 2, padding=1, name="stem")(x)))
        maps = {"stem": x}
        x = nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        for stage, (channels, count) in enumerate(zip(stages, self.depths, strict=True), 1):
            for i in range(count):
                x = Block(channels, 1 if i else 2, conv, norm, name=f"stage{stage}_{i}")(x)
            maps[f"stage{stage}"] = x
        x = nn.relu(norm(name="head_bn")(conv(last, (1, 1), name="head")(x))).mean((1, 2))
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        return exact(nn.Dense(self.num_classes, kernel_init=nn.initializers.normal(0.01), name="fc", **types)(x))


PORTS = {
    "torchvision": Port(
        names={
            r"^stem/": "conv1/0/",
            r"^stem_bn/": "conv1/1/",
            r"^head/": "conv5/0/",
            r"^head_bn/": "conv5/1/",
            r"^stage(\d)_": lambda match: f"stage{int(match[1]) + 1}/",
            r"/passed_depthwise/": "/branch1/0/",
            r"/passed_depthwise_bn/": "/branch1/1/",
            r"/passed/": "/branch1/2/",
            r"/passed_bn/": "/branch1/3/",
            r"/first/": "/branch2/0/",
            r"/first_bn/": "/branch2/1/",
            r"/depthwise/": "/branch2/3/",
            r"/depthwise_bn/": "/branch2/4/",
            r"/last/": "/branch2/5/",
            r"/last_bn/": "/branch2/6/",
        }
    )
}
