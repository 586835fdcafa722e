"""Inception-v4: uniform blocks of branches, without residual connections (Szegedy et al. 2017).

Szegedy, Ioffe, Vanhoucke, Alemi, "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning",
AAAI 2017, figures 3 to 9.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError
from models.layers.dropout import Dropout
from models.layers.inception import HALVING, Branches, ConvNormReLU, average, halve
from models.layers.norm import norm as normalisation
from models.layers.precision import exact
from models.port import Port

SMALLEST = 75  # pixels a side that leave one pixel of the last map

# Figure 3: three convolutions, then three blocks.
FIRST = ((32, 3, 3, *HALVING), (32, 3, 3, 1, "VALID"), (64, 3, 3))
STEM = {
    "stem3": ((halve,), ((96, 3, 3, *HALVING),)),
    "stem4": (
        ((64, 1, 1), (96, 3, 3, 1, "VALID")),
        ((64, 1, 1), (64, 1, 7), (64, 7, 1), (96, 3, 3, 1, "VALID")),
    ),
    "stem5": (((192, 3, 3, *HALVING),), (halve,)),
}
A = (  # figure 4, at 35×35
    ((96, 1, 1),),
    ((64, 1, 1), (96, 3, 3)),
    ((64, 1, 1), (96, 3, 3), (96, 3, 3)),
    (average, (96, 1, 1)),
)
REDUCTION_A = (  # figure 7 with the numbers of table 1
    ((384, 3, 3, *HALVING),),
    ((192, 1, 1), (224, 3, 3), (256, 3, 3, *HALVING)),
    (halve,),
)
B = (  # figure 5, at 17×17
    ((384, 1, 1),),
    ((192, 1, 1), (224, 1, 7), (256, 7, 1)),
    ((192, 1, 1), (192, 7, 1), (224, 1, 7), (224, 7, 1), (256, 1, 7)),
    (average, (128, 1, 1)),
)
REDUCTION_B = (  # figure 8
    ((192, 1, 1), (192, 3, 3, *HALVING)),
    ((256, 1, 1), (256, 1, 7), (320, 7, 1), (320, 3, 3, *HALVING)),
    (halve,),
)
C = (  # figure 6, at 8×8
    ((256, 1, 1),),
    ((384, 1, 1), ((256, 1, 3), (256, 3, 1))),
    ((384, 1, 1), (448, 3, 1), (512, 1, 3), ((256, 1, 3), (256, 3, 1))),
    (average, (256, 1, 1)),
)


class InceptionV4(nn.Module):
    """A stem, blocks A, B and C with reductions between them, the mean over space, classifier."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    blocks: tuple[int, int, int] = (4, 7, 3)  # of A, B and C
    width: float = 1.0  # of the paper's channels
    dropout_rate: float = 0.2  # before the classifier
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, 3] float, at least 75×75 (the paper: 299×299) -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps: "stem" at stride 2, "stage1" at 4, and after the blocks A, B and C
        "stage2" at 8, "stage3" at 16, "stage4" at 32; and "pre_logits" [B, 1536].
        """
        if min(x.shape[1:3]) < SMALLEST:
            raise ModelError(f"inception_v4 needs images of {SMALLEST} pixels a side, not {x.shape[1]}×{x.shape[2]}")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        he = nn.initializers.variance_scaling(2.0, "fan_in", "truncated_normal")  # that of the authors' code
        norm = normalisation("batch", train, self.axis_name, epsilon=1e-3, **types)
        layer = partial(ConvNormReLU, partial(nn.Conv, use_bias=False, kernel_init=he, **types), norm, self.width)

        for i, window in enumerate(FIRST):
            x = layer(*window, name=f"conv{i}")(x)
        maps = {"stem": x}
        for name, branches in STEM.items():
            x = Branches(branches, layer, name=name)(x)
            maps.setdefault("stage1", x)
        stages = (("A", A, REDUCTION_A), ("B", B, REDUCTION_B), ("C", C, None))
        for stage, ((name, branches, reduction), count) in enumerate(zip(stages, self.blocks, strict=True), 2):
            for i in range(count):
                x = Branches(branches, layer, name=f"{name}{i}")(x)
            maps[f"stage{stage}"] = x
            if reduction:
                x = Branches(reduction, layer, name=f"reduction{name}")(x)
        x = Dropout(self.dropout_rate)(x.mean((1, 2)), train)
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        return exact(nn.Dense(self.num_classes, kernel_init=he, name="fc", **types)(x))


_NUMBERS = {"A": 6, "reductionA": 10, "B": 11, "reductionB": 18, "C": 19}  # of the first of each among timm's features
PORTS = {
    "timm": Port(
        names={
            r"^fc/": "last_linear/",
            # The branches that fork have names of their own.
            r"^(?!C\d/branch[12])(.*)/branch(\d)_(\d)/": r"\1/branch\2/\3/",
            r"^stem3/branch1/": "features/3/conv/",
            r"^stem5/branch0/": "features/5/conv/",
            r"^(conv|stem)(\d)/": r"features/\2/",
            r"^(A|B|C|reduction.)(\d?)/": lambda match: f"features/{_NUMBERS[match[1]] + int(match[2] or 0)}/",
        }
    )
}
