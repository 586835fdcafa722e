"""BoTNet: a ResNet whose last stage attends in place of its 3×3 convolutions (Srinivas et al. 2021).

Srinivas et al., "Bottleneck Transformers for Visual Recognition", CVPR 2021, section 3 and figure 3. Fields make it the
ResNets with local attention:

    BoTNet(attention="halo", attended=4, heads=8)                      # HaloNet's layers: Vaswani et al., CVPR 2021
    BoTNet(attention="halo", attended=4, heads=8, block=1, halo=3)     # 7×7 windows: Ramachandran et al., NeurIPS 2019
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError, choose
from models.layers.halo_attention import HaloAttention
from models.layers.norm import norm as normalisation
from models.layers.precision import exact
from models.layers.relative_attention import RelativeAttention
from models.port import Port, Slice

# Blocks per stage.
DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 26: (2, 2, 2, 2), 14: (1, 1, 1, 1)}


class Bottleneck(nn.Module):
    """1×1, attention or a 3×3 convolution, 1×1 to four times the channels, with the input added. Figure 1."""

    channels: int
    strides: int
    conv: Any
    norm: Any
    attention: Any  # constructor of a layer [B, H, W, C] -> [B, H, W, C]; None: the convolution

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H/strides, W/strides, 4 channels]."""
        y = nn.relu(self.norm(name="bn1")(self.conv(self.channels, (1, 1), padding=0, name="conv1")(x)))
        if self.attention:
            y = self.attention(name="attention")(y)
            if self.strides > 1:
                if y.shape[1] % 2 or y.shape[2] % 2:
                    raise ModelError(f"attention that strides needs even sides, not a map of {y.shape[1]}×{y.shape[2]}")
                y = nn.avg_pool(y, (2, 2), (2, 2))
            y = nn.relu(self.norm(name="attention_bn")(y))
        else:
            y = self.conv(self.channels, (3, 3), self.strides, padding=1, name="conv2")(y)
            y = nn.relu(self.norm(name="bn2")(y))
        y = self.norm(name="bn3")(self.conv(4 * self.channels, (1, 1), padding=0, name="conv3")(y))
        if x.shape != y.shape:
            x = self.conv(y.shape[-1], (1, 1), self.strides, padding=0, name="shortcut")(x)
            x = self.norm(name="shortcut_bn")(x)
        return nn.relu(x + y)


class BoTNet(nn.Module):
    """7×7/2 convolution, 3×3/2 max pooling, four stages of bottlenecks, the mean over space, classifier.

    With global attention the weights fit images of one size.
    """

    conditions: ClassVar[tuple[str, ...]] = ()

    depth: int = 50  # a key of DEPTHS
    attention: str = "global"  # "global" | "halo": within blocks and a halo around them
    attended: int = 1  # stages that attend, counted from the last
    heads: int = 4
    block: int = 8  # side of the blocks of "halo", which tile the maps
    halo: int = 3  # pixels around a block, of "halo"
    masked: bool = True  # of "halo": leave keys outside of the map out; False: as zeros they take part, as in timm
    last_strides: int = 2  # of stage 4; 1: BoTNet-S1
    width: int = 64  # channels of the first stage; they double from stage to stage
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, 3] float (the paper: 224×224) -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps: "stem" at stride 2, before the pooling, "stage1" at 4 to "stage4" at
        32 (16 of BoTNet-S1), and "pre_logits", the mean over space.
        """
        blocks = choose(DEPTHS, "depth", self.depth)
        if not 0 <= self.attended <= len(blocks):
            raise ModelError(f"attended={self.attended}: there are {len(blocks)} stages")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        layers = {
            "global": partial(RelativeAttention, self.heads, **types),
            "halo": partial(HaloAttention, self.heads, self.block, self.halo, self.masked, **types),
        }
        attention = choose(layers, "attention", self.attention)
        he = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        conv = partial(nn.Conv, use_bias=False, kernel_init=he, **types)
        norm = normalisation("batch", train, self.axis_name, **types)

        x = conv(self.width, (7, 7), 2, padding=3, name="conv1")(x)
        x = nn.relu(norm(name="bn1")(x))
        maps = {"stem": x}
        x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))  # linen pads with -inf
        strides_of = (1, 2, 2, self.last_strides)
        for stage, count in enumerate(blocks):
            layer = attention if stage >= len(blocks) - self.attended else None
            for i in range(count):
                strides = strides_of[stage] if i == 0 else 1
                name = f"stage{stage + 1}_{i}"
                x = Bottleneck(self.width * 2**stage, strides, conv, norm, layer, name=name)(x)
            maps[f"stage{stage + 1}"] = x
        x = x.mean((1, 2))
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        return exact(nn.Dense(self.num_classes, name="fc", **types)(x))


PORTS = {
    # timm's ByobNet. Its botnets and halonets with published weights begin with three convolutions instead of one.
    "timm": Port(
        names={
            r"^(conv|bn)1/": r"stem/conv1/\1/",
            r"^stage(\d)_(\d+)/": lambda match: f"stages/{int(match[1]) - 1}/{match[2]}/",
            r"/(conv|bn)2/": r"/conv2_kxk/\1/",
            r"(stages/\d/\d+)/(conv|bn)([13])/": r"\1/conv\3_1x1/\2/",
            r"/shortcut/": "/shortcut/conv/",
            r"/shortcut_bn/": "/shortcut/bn/",
            r"/attention/rows": "/self_attn/pos_embed/height_rel",
            r"/attention/columns": "/self_attn/pos_embed/width_rel",
            r"/attention/(query|key|value)/": "/self_attn/qkv/",
            r"/attention_bn/": "/post_attn/",
            r"^fc/": "head/fc/",
        },
        slices={r"/query/": Slice(0, 3), r"/key/": Slice(1, 3), r"/value/": Slice(2, 3)},
    )
}
