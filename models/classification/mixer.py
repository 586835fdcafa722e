"""MLP-Mixer: perceptrons over positions and over channels in turn (Tolstikhin et al. 2021).

Tolstikhin et al., "MLP-Mixer: An all-MLP Architecture for Vision", NeurIPS 2021, section 2 and table 1.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.layers.dropout import Dropout
from models.layers.norm import norm as normalisation
from models.layers.patches import embed_patches
from models.layers.precision import exact
from models.layers.variants import resolve
from models.port import Port

# Table 1: hidden size C, layers, hidden widths of the perceptrons over positions (D_S) and over channels (D_C).
VARIANTS = {
    "S": dict(width=512, depth=8, tokens=256, channels=2048),
    "B": dict(width=768, depth=12, tokens=384, channels=3072),
    "L": dict(width=1024, depth=24, tokens=512, channels=4096),
    "H": dict(width=1280, depth=32, tokens=640, channels=5120),
}


class Perceptron(nn.Module):
    """Two affine layers over the last axis with a GELU between."""

    hidden: int
    dense: Any

    @nn.compact
    def __call__(self, x):
        """x: [..., D] -> [..., D]."""
        y = nn.gelu(self.dense(self.hidden, name="fc1")(x), approximate=False)
        return self.dense(x.shape[-1], name="fc2")(y)


class Mixer(nn.Module):
    """Patches, blocks of the two perceptrons, each after LayerNorm and around a sum, LayerNorm, mean, classifier."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("stochastic_depth",)

    variant: str = "B"  # a name in VARIANTS; fields that are 0 have the variant's value
    patch: int = 16  # side in pixels; the number of patches is part of the parameters' shapes
    width: int = 0
    depth: int = 0
    tokens: int = 0
    channels: int = 0
    stochastic_depth: float = 0.0  # of both branches of the last block, from 0 in the first. Table 4: 0.1 on ImageNet
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float of a size that `patch` divides (the paper: 224×224) -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps at stride `patch`: "stem", the embedded patches, and "stage1", the
        normalised outputs of the last block; and "pre_logits", the mean of these.
        """
        of = resolve(self, VARIANTS)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        dense = partial(nn.Dense, kernel_init=nn.initializers.xavier_uniform(), **types)
        norm = normalisation("layer", train, None, epsilon=1e-6, **types)

        x = embed_patches(x, of.width, self.patch, name="patches", **types)
        maps, shape = {"stem": x}, x.shape
        x = x.reshape(len(x), -1, of.width)
        for i in range(of.depth):
            drop = Dropout(self.stochastic_depth * i / max(of.depth - 1, 1), shared=(1, 2))
            y = norm(name=f"block{i}_norm1")(x).swapaxes(1, 2)
            x = x + drop(Perceptron(of.tokens, dense, name=f"block{i}_tokens")(y).swapaxes(1, 2), train)
            y = norm(name=f"block{i}_norm2")(x)
            x = x + drop(Perceptron(of.channels, dense, name=f"block{i}_channels")(y), train)
        x = norm(name="norm")(x)
        maps["stage1"] = x.reshape(shape)
        x = x.mean(1)
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        return exact(dense(self.num_classes, kernel_init=nn.initializers.zeros, name="head")(x))


PORTS = {
    "timm": Port(
        names={
            r"^patches/": "stem/proj/",
            r"^block(\d+)_(tokens|channels)/": r"blocks/\1/mlp_\2/",
            r"^block(\d+)_": r"blocks/\1/",
        }
    )
}
