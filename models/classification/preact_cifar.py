"""Pre-activation ResNet and Wide ResNet for CIFAR: sums pass unchanged from block to block (He et al. 2016).

He, Zhang, Ren, Sun, "Identity Mappings in Deep Residual Networks", ECCV 2016, table 4: 110 layers of basic blocks,
164 and 1001 layers of bottlenecks. With `widen`, WRN-depth-widen of Zagoruyko & Komodakis, "Wide Residual Networks",
BMVC 2016, table 1.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError, choose
from models.layers.norm import norm as normalisation
from models.layers.preactivation import BRANCHES, PreActivation
from models.layers.precision import exact
from models.port import Port


class CifarPreActResNet(nn.Module):
    """A 3×3 convolution, three stages of n blocks, BatchNorm and ReLU, the mean over space, classifier."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    beside: ClassVar[int] = 2  # layers that are not in blocks, of those that `depth` counts

    depth: int = 110  # 6n+2 layers of basic blocks, 9n+2 of bottlenecks
    block: str = "basic"  # "basic" | "bottleneck"
    shortcut: str = "A"  # where the shape changes, "A": identity with zero padding | "B": projection
    widen: int = 1  # the stages have 16, 32 and 64 times this many channels
    dropout_rate: float = 0.0  # before the last convolution of each block; 0.3 in table 6 of Wide ResNets
    num_classes: int = 10
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float (the paper: 32×32×3) -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps: "stem" and "stage1" at stride 1, "stage2" at 2, "stage3" at 4, before
        normalisation, and "pre_logits" [B, D].
        """
        layers = 3 * len(choose(BRANCHES, "block", self.block)(1, 1))
        blocks, more = divmod(self.depth - self.beside, layers)
        if blocks < 1 or more:
            raise ModelError(f"depth={self.depth} is not {layers}n+{self.beside}")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        he = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
        conv = partial(nn.Conv, use_bias=False, kernel_init=he, **types)
        norm = normalisation("batch", train, self.axis_name, **types)

        x = conv(16, (3, 3), padding=1, name="stem")(x)
        maps = {"stem": x}
        for stage in range(3):
            for i in range(blocks):
                strides = 2 if stage > 0 and i == 0 else 1
                x = PreActivation(
                    self.block,
                    16 * self.widen * 2**stage,
                    strides,
                    conv,
                    norm,
                    self.shortcut,
                    self.dropout_rate,
                    name=f"stage{stage + 1}_{i}",
                )(x, train)
            maps[f"stage{stage + 1}"] = x
        x = nn.relu(norm(name="norm")(x)).mean((1, 2))
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        return exact(nn.Dense(self.num_classes, kernel_init=he, name="fc", **types)(x))


class WideResNet(CifarPreActResNet):
    """WRN-depth-widen: the same network with projections, which its authors count as layers (table 1)."""

    beside: ClassVar[int] = 4

    depth: int = 28  # 6n+4 layers
    shortcut: str = "B"
    widen: int = 10


# xternalz: https://github.com/xternalz/WideResNet-pytorch
PORTS = {
    "xternalz": Port(
        names={
            r"^stem/": "conv1/",
            r"^norm/": "bn1/",
            r"^stage(\d)_(\d+)/": r"block\1/layer/\2/",
            r"/norm(\d)/": r"/bn\1/",
            r"/shortcut/": "/convShortcut/",
        }
    )
}
