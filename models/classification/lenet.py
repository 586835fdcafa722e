"""LeNet-5: convolutions with shared weights and subsampling, learned end to end (LeCun et al. 1998).

LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE 86(11),
1998, section II.B. The layers are the paper's: C1, S2, C3, S4, C5, F6, output.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from models.errors import ModelError, choose
from models.layers.activations import ACTIVATIONS
from models.layers.conv import conv
from models.layers.pool import max_pool
from models.layers.precision import exact
from models.layers.variants import resolve
from models.port import Port

# What differs between the network of 1998 (60,000 trainable parameters) and the one taught today (61,706).
VARIANTS = {
    "original": dict(c3="table", activation="scaled_tanh", pooling="trainable", output="rbf"),
    "modern": dict(c3="full", activation="relu", pooling="max", output="linear"),
}

# Table I: the maps of S2 that each of C3's sixteen maps sees. No two see the same, so they learn to differ.
C3_TABLE = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5)),
)

# The target of F6 for each digit: a 7×12 picture of it, as in figure 3, but not the same drawing.
BITMAPS = """
..###.. ...#... .#####. .#####. .....#. ####### ..####. ####### ..###.. ..###..
.#...#. ..##... #.....# #.....# ....##. #...... .#..... ......# .#...#. .#...#.
#.....# .#.#... #.....# ......# ...#.#. #...... #...... .....#. #.....# #.....#
#.....# ...#... ......# ......# ..#..#. #...... #...... .....#. #.....# #.....#
#.....# ...#... .....#. .....#. .#...#. #.###.. #.###.. ....#.. .#...#. #.....#
#.....# ...#... ....#.. ..###.. #....#. ##...#. ##...#. ....#.. ..###.. .#...##
#.....# ...#... ...#... .....#. #....#. ......# #.....# ...#... .#...#. ..###.#
#.....# ...#... ..#.... ......# ####### ......# #.....# ...#... #.....# ......#
#.....# ...#... .#..... ......# .....#. ......# #.....# ..#.... #.....# ......#
#.....# ...#... #...... ......# .....#. #.....# #.....# ..#.... #.....# ......#
.#...#. ...#... #...... #.....# .....#. .#...#. .#...#. .#..... .#...#. .....#.
..###.. .#####. ####### .#####. .....#. ..###.. ..###.. .#..... ..###.. .####..
"""

ROWS = [line.split() for line in BITMAPS.split("\n") if line]
DOTS = np.array([list("".join(digit)) for digit in zip(*ROWS, strict=True)])
DIGIT_CODES = np.where(DOTS == "#", 1.0, -1.0)  # [10, 84]


def paper_init(key, shape, dtype=jnp.float32):
    """Uniform in ±2.4 / fan-in, which starts the units in their quasi-linear range. Appendix A."""
    bound = 2.4 / np.prod(shape[:-1])
    return jax.random.uniform(key, shape, dtype, -bound, bound)


# Activation -> the distribution of the weights that goes with it.
INITIALISERS = {
    "relu": nn.initializers.variance_scaling(2.0, "fan_in", "normal"),
    "tanh": nn.initializers.glorot_uniform(),
    "scaled_tanh": paper_init,
}


class TableConv(nn.Module):
    """A valid 5×5 convolution whose output map o sees the input maps `table[o]` alone."""

    table: tuple[tuple[int, ...], ...]
    kernel_init: Any
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H-4, W-4, len(table)]."""

        def init(key, shape, dtype):  # map by map, since the scale depends on how many maps one sees
            keys = jax.random.split(key, len(self.table))
            maps = [self.kernel_init(k, (5, 5, len(seen), 1), dtype) for k, seen in zip(keys, self.table, strict=True)]
            return jnp.concatenate(maps, axis=2)[..., 0]

        inputs, outputs = zip(*((i, o) for o, seen in enumerate(self.table) for i in seen), strict=True)
        connections = self.param("kernel", init, (5, 5, len(inputs)), self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, (len(self.table),), self.param_dtype)
        x, connections, bias = nn.dtypes.promote_dtype(x, connections, bias, dtype=self.dtype)
        kernel = jnp.zeros((5, 5, x.shape[-1], len(self.table)), x.dtype).at[:, :, inputs, outputs].set(connections)
        return conv(x, kernel, (1, 1), "VALID") + bias


class TrainableSubsampling(nn.Module):
    """The sum of each 2×2 square, times a coefficient, plus a bias: two parameters per map."""

    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H/2, W/2, C]."""
        bound = 2.4 / 4  # `paper_init` with a fan-in of four
        uniform = nn.initializers.uniform(2 * bound)
        shape = x.shape[-1:]
        coefficient = self.param("coefficient", lambda *args: uniform(*args) - bound, shape, self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, shape, self.param_dtype)
        x, coefficient, bias = nn.dtypes.promote_dtype(x, coefficient, bias, dtype=self.dtype)
        return 4 * nn.avg_pool(x, (2, 2), (2, 2)) * coefficient + bias


class RBFOutput(nn.Module):
    """Euclidean radial basis functions around the digits' codes. No parameters. Equation 7."""

    num_classes: int

    @nn.compact
    def __call__(self, x):
        """x: [B, 84] -> [B, 10]: minus the squared distance to each code, so that the nearest wins."""
        if self.num_classes != len(DIGIT_CODES):
            raise ModelError(f'output="rbf" has codes for ten digits, not for {self.num_classes} classes')
        x = exact(x)
        return -jnp.square(x[:, None] - DIGIT_CODES.astype(x.dtype)).sum(-1)


def to_retina(x):
    """x: [B, H, W, C] -> [B, 32, 32, C]: 28×28 is framed by its own border, any other size is resized."""
    if x.shape[1:3] == (28, 28):
        return jnp.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    return jax.image.resize(x, (len(x), 32, 32, x.shape[-1]), "linear")


class LeNet5(nn.Module):
    """C1 6@28×28, S2 6@14×14, C3 16@10×10, S4 16@5×5, C5 120, F6 84, output.

    The variant sets the four fields below it, unless they are given.
    """

    conditions: ClassVar[tuple[str, ...]] = ()

    variant: str = "modern"  # a name in VARIANTS
    c3: str = ""  # "table": partial connections | "full"
    activation: str = ""  # a name in INITIALISERS
    pooling: str = ""  # "trainable" | "max" | "avg"
    output: str = ""  # "rbf" | "linear"
    num_classes: int = 10
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float, 32×32 or brought there by `to_retina` -> logits [B, num_classes].

        With num_classes=0 a dictionary: "stem" C1 [B, 28, 28, 6], "stage1" C3 [B, 10, 10, 16], "stage2" C5
        [B, 1, 1, 120] and "pre_logits" F6 [B, 84].

        With the RBF output, softmax cross-entropy is the paper's discriminative loss (equation 9) without the
        constant of its rubbish class.
        """
        variant = resolve(self, VARIANTS)
        kernel_init = choose(INITIALISERS, "activation", variant.activation)
        squash = ACTIVATIONS[variant.activation]
        common = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        conv = partial(nn.Conv, kernel_size=(5, 5), padding="VALID", kernel_init=kernel_init, **common)
        dense = partial(nn.Dense, kernel_init=kernel_init, **common)
        table_conv = partial(TableConv, C3_TABLE, kernel_init=kernel_init, **common)
        convs = {"table": table_conv, "full": partial(conv, len(C3_TABLE))}
        pools = {
            "trainable": lambda x, name: squash(TrainableSubsampling(**common, name=name)(x)),
            "max": lambda x, name: max_pool(x),
            "avg": lambda x, name: nn.avg_pool(x, (2, 2), (2, 2)),
        }
        pool = choose(pools, "pooling", variant.pooling)

        x = squash(conv(6, name="c1")(to_retina(x)))
        maps = {"stem": x}
        x = pool(x, "s2")
        x = squash(choose(convs, "c3", variant.c3)(name="c3")(x))
        maps["stage1"] = x
        x = pool(x, "s4")
        x = squash(conv(120, name="c5")(x))  # a convolution that covers the whole of its input
        maps["stage2"] = x
        x = squash(dense(84, name="f6")(x.reshape(len(x), -1)))
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        x = choose({"rbf": RBFOutput, "linear": dense}, "output", variant.output)(self.num_classes, name="output")(x)
        return exact(x)


# torch layers with our names. The kernels of the original C3 are one per connection, [60, 5, 5].
PORTS = {"torch": Port(), "torch_original": Port(layouts={"^c3/kernel$": (1, 2, 0)})}
