"""ConvNeXt: a residual network with the choices of a transformer (Liu et al. 2022).

Liu, Mao, Wu, Feichtenhofer, Darrell, Xie, "A ConvNet for the 2020s", CVPR 2022, section 3 and figure 4.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError
from models.layers.dropout import Dropout
from models.layers.layer_scale import LayerScale
from models.layers.norm import norm as normalisation
from models.layers.precision import exact
from models.layers.variants import resolve
from models.port import Port

# Section 3.7: channels and blocks of the four stages.
VARIANTS = {
    "T": dict(widths=(96, 192, 384, 768), depths=(3, 3, 9, 3)),
    "S": dict(widths=(96, 192, 384, 768), depths=(3, 3, 27, 3)),
    "B": dict(widths=(128, 256, 512, 1024), depths=(3, 3, 27, 3)),
    "L": dict(widths=(192, 384, 768, 1536), depths=(3, 3, 27, 3)),
}


class Block(nn.Module):
    """Depthwise 7×7 convolution, LayerNorm, 1×1 to four times the channels, GELU, 1×1 back, layer scale. Figure 4."""

    layer_scale: float
    drop_rate: Any
    conv: Any
    norm: Any
    dense: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] -> [B, H, W, C]."""
        channels = x.shape[-1]
        y = self.conv(channels, (7, 7), padding=3, feature_group_count=channels, name="depthwise")(x)
        y = self.dense(4 * channels, name="expand")(self.norm(name="norm")(y))
        y = self.dense(channels, name="project")(nn.gelu(y, approximate=False))
        if self.layer_scale:
            y = LayerScale(self.layer_scale, self.param_dtype, name="layer_scale")(y)
        return x + Dropout(self.drop_rate, shared=(1, 2, 3))(y, train)


class ConvNeXt(nn.Module):
    """Patches, stages of blocks with LayerNorm and a 2×2/2 convolution between, the mean over space, classifier."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("stochastic_depth",)

    variant: str = "T"  # a name in VARIANTS
    widths: tuple[int, ...] = ()  # of the stages, in place of the variant's
    depths: tuple[int, ...] = ()  # blocks of each stage, in place of the variant's
    patch: int = 4  # side in pixels, and stride, of the first convolution
    layer_scale: float = 1e-6  # at the start; 0: none
    stochastic_depth: float = 0.1  # of the last block, from 0 in the first; S 0.4, B 0.5, L 0.5
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float (the paper: 224×224) -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps: "stem" and "stage1" at stride `patch`, "stage2" at twice this to
        "stage4" at eight times, and "pre_logits", the normalised mean over space.
        """
        of = resolve(self, VARIANTS)
        if len(of.widths) != len(of.depths):
            raise ModelError(f"widths={of.widths} and depths={of.depths} have different numbers of stages")
        smallest = self.patch * 2 ** (len(of.widths) - 1)
        if min(x.shape[1:3]) < smallest:
            raise ModelError(f"convnext needs images of {smallest} pixels a side, not {x.shape[1]}×{x.shape[2]}")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        conv = partial(nn.Conv, kernel_init=nn.initializers.truncated_normal(0.02), padding=0, **types)
        dense = partial(nn.Dense, kernel_init=nn.initializers.truncated_normal(0.02), **types)
        norm = normalisation("layer", train, None, epsilon=1e-6, **types)

        x = norm(name="stem_norm")(conv(of.widths[0], (self.patch,) * 2, self.patch, name="stem")(x))
        maps, number, last = {"stem": x}, 0, max(sum(of.depths) - 1, 1)
        for stage, (width, count) in enumerate(zip(of.widths, of.depths, strict=True), 1):
            if stage > 1:
                x = norm(name=f"stage{stage}_norm")(x)
                x = conv(width, (2, 2), 2, name=f"stage{stage}_halve")(x)
            for i in range(count):
                rate = self.stochastic_depth * number / last
                block = Block(self.layer_scale, rate, conv, norm, dense, self.param_dtype, name=f"stage{stage}_{i}")
                x, number = block(x, train), number + 1
            maps[f"stage{stage}"] = x
        x = norm(name="norm")(x.mean((1, 2)))
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        return exact(dense(self.num_classes, name="classifier")(x))


_stage = lambda match: f"stages/{int(match[1]) - 1}/"
PORTS = {
    "timm": Port(
        names={
            r"^stem/": "stem/0/",
            r"^stem_norm/": "stem/1/",
            r"^norm/": "head/norm/",
            r"^classifier/": "head/fc/",
            r"^stage(\d)_norm/": lambda match: f"{_stage(match)}downsample/0/",
            r"^stage(\d)_halve/": lambda match: f"{_stage(match)}downsample/1/",
            r"^stage(\d)_(?=\d)": lambda match: f"{_stage(match)}blocks/",
            r"/depthwise/": "/conv_dw/",
            r"/expand/": "/mlp/fc1/",
            r"/project/": "/mlp/fc2/",
            r"/layer_scale/gamma": "/gamma",
        }
    )
}
