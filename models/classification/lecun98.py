"""The networks beside LeNet-5 in the comparison on MNIST, from a linear classifier to LeNet-4 (LeCun et al. 1998).

LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE 86(11), 1998,
section III.C and figure 9.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from models.classification.lenet import TableConv, TrainableSubsampling, paper_init, to_retina
from models.errors import choose
from models.layers.activations import scaled_tanh
from models.layers.precision import exact

# The maps of H2 that each map of H3 sees in LeNet-1. LeCun et al., "Handwritten Digit Recognition with a
# Back-Propagation Network", NIPS 1989, table 1.
FIRST_HALF = ((0,), (0, 1), (0, 1), (1,), (0, 1), (0, 1))
H3_TABLE = (*FIRST_HALF, *(tuple(i + 2 for i in seen) for seen in FIRST_HALF))


def to_small_digits(x):
    """x: [B, H, W, C] -> [B, 28, 28, C]: the digits of MNIST shrink from 20×20 to 16×16 pixels, as for LeNet-1."""
    x = jax.image.resize(x, (len(x), 22, 22, x.shape[-1]), "linear")
    return jnp.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)), mode="edge")


class Layers(NamedTuple):
    """What a variant consists of.

    Attributes:
      hidden: units of the fully connected layers before the output.
      frame: [B, H, W, C] -> what the first convolution reads; None: there are no convolutions.
      maps: of the first convolution.
      copies: subsampled maps of each of them, with coefficients of their own.
      table: the subsampled maps that each map of the second convolution sees.
    """

    hidden: tuple[int, ...] = ()
    frame: Callable | None = None
    maps: int = 0
    copies: int = 1
    table: tuple[tuple[int, ...], ...] = ()


# Section III.C, in the paper's order, with the parameters. LeNet-1 has the paper's "about 2600". Of LeNet-4 the text
# gives the maps and says "about 17,000" parameters, but not which connections are left out: these are complete.
VARIANTS = {
    "linear": Layers(),  # 7,850
    "300": Layers((300,)),  # 238,510
    "1000": Layers((1000,)),  # 795,010
    "300-100": Layers((300, 100)),  # 266,610
    "500-150": Layers((500, 150)),  # 469,160
    "lenet1": Layers((), to_small_digits, 4, table=H3_TABLE),  # 2,578
    "lenet4": Layers((120,), to_retina, 4, copies=2, table=(tuple(range(8)),) * 16),  # 52,698
}


class LeCun98(nn.Module):
    """Convolutions of 5×5 with trainable subsampling, fully connected layers, an output for each class."""

    conditions: ClassVar[tuple[str, ...]] = ()

    variant: str = "lenet4"  # a name in VARIANTS
    num_classes: int = 10
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float -> logits [B, num_classes]. LeNets frame or resize the image.

        With num_classes=0 a dictionary: of the LeNets "stem" C1 and "stage1" C3, [B, 24, 24, 4] and [B, 8, 8, 12] of
        LeNet-1, [B, 28, 28, 4] and [B, 10, 10, 16] of LeNet-4; of all "pre_logits" [B, D], what the last layer reads.
        """
        layers = choose(VARIANTS, "variant", self.variant)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        dense = partial(nn.Dense, kernel_init=paper_init, **types)
        convolution = partial(TableConv, kernel_init=paper_init, **types)

        def subsample(x, name):
            return scaled_tanh(TrainableSubsampling(name=name, **types)(x))

        maps = {}
        if layers.frame:
            x = layers.frame(x)
            everything = tuple(range(x.shape[-1]))
            maps["stem"] = x = scaled_tanh(convolution((everything,) * layers.maps, name="c1")(x))
            x = subsample(jnp.repeat(x, layers.copies, axis=-1), "s2")
            maps["stage1"] = x = scaled_tanh(convolution(layers.table, name="c3")(x))
            x = subsample(x, "s4")
        x = x.reshape(len(x), -1)
        for i, units in enumerate(layers.hidden):
            x = scaled_tanh(dense(units, name=f"hidden{i}")(x))
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        return exact(dense(self.num_classes, name="output")(x))
