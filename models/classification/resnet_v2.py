"""ResNet v2: normalisation and ReLU before each convolution, so that sums pass unchanged (He et al. 2016).

He, Zhang, Ren, Sun, "Identity Mappings in Deep Residual Networks", ECCV 2016, section 4. With norm="group", the
networks of Kolesnikov et al., "Big Transfer (BiT): General Visual Representation Learning", ECCV 2020, section 3.2.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError, choose
from models.layers.norm import norm as normalisation
from models.layers.preactivation import PreActivation
from models.layers.precision import exact
from models.layers.weight_standardisation import StandardisedConv
from models.port import Port

# Blocks, and their number per stage.
DEPTHS = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
    200: ("bottleneck", (3, 24, 36, 3)),
    14: ("bottleneck", (1, 1, 1, 1)),
}
GROUPS = 32
# Convolution, and the value of the padding of the max pooling. BiT standardises weights and pads with zeros.
NORMS = {"batch": (partial(nn.Conv, use_bias=False), -jnp.inf), "group": (StandardisedConv, 0.0)}


class ResNetV2(nn.Module):
    """7×7/2 convolution, 3×3/2 max pooling, four stages of blocks, norm and ReLU, the mean over space, classifier."""

    conditions: ClassVar[tuple[str, ...]] = ()

    depth: int = 50  # a key of DEPTHS
    norm: str = "batch"  # "batch" | "group": BiT's, with standardised weights; normalises each image by itself
    width: int = 64  # channels of the first stage, twice as many in each later one; BiT's R50x3: 192
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, 3] float (the paper: 224×224) -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps: "stem" at stride 2, before the pooling, "stage1" at 4 to "stage4" at
        32, all before normalisation, and "pre_logits", the mean over space behind the last normalisation.
        """
        branch, blocks = choose(DEPTHS, "depth", self.depth)
        conv, around = choose(NORMS, "norm", self.norm)
        if self.norm == "group" and self.width % GROUPS:
            raise ModelError(f"norm='group' has {GROUPS} groups, which width={self.width} is not a multiple of")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        conv = partial(conv, kernel_init=nn.initializers.variance_scaling(2.0, "fan_out", "normal"), **types)
        norm = normalisation(self.norm, train, self.axis_name, **types)

        x = conv(self.width, (7, 7), 2, padding=3, name="stem")(x)
        maps = {"stem": x}
        x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=around)
        x = nn.max_pool(x, (3, 3), (2, 2))
        for stage, count in enumerate(blocks):
            for i in range(count):
                strides, name = 2 if stage > 0 and i == 0 else 1, f"stage{stage + 1}_{i}"
                x = PreActivation(branch, self.width * 2**stage, strides, conv, norm, name=name)(x, train)
            maps[f"stage{stage + 1}"] = x
        x = nn.relu(norm(name="norm")(x)).mean((1, 2), keepdims=True)
        if not self.num_classes:
            return {**maps, "pre_logits": x[:, 0, 0]}
        uniform = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
        # A 1×1 convolution, as in timm, so that weights fit.
        return exact(nn.Conv(self.num_classes, (1, 1), kernel_init=uniform, name="fc", **types)(x)[:, 0, 0])


PORTS = {
    "timm": Port(
        names={
            r"^stem/": "stem/conv/",
            r"^stage(\d)_(\d+)/": lambda match: f"stages/{int(match[1]) - 1}/blocks/{match[2]}/",
            r"/shortcut/": "/downsample/conv/",
            r"^fc/": "head/fc/",
        }
    )
}
