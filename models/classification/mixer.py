"""MLP-Mixer: perceptrons over the patches and over the channels in turn (Tolstikhin et al. 2021).

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

# Table 1: hidden size C, layers, and the widths D_S and D_C of the perceptrons over patches and over channels.
VARIANTS = {
    "S": dict(width=512, depth=8, tokens=256, channels=2048),
    "B": dict(width=768, depth=12, tokens=384, channels=3072),
    "L": dict(width=1024, depth=24, tokens=512, channels=4096),
    "H": dict(width=1280, depth=32, tokens=640, channels=5120),
}


class Perceptron(nn.Module):
    """Two affine layers with a GELU between them, of which the second has the width of the input."""

    hidden: int
    dense: Any

    @nn.compact
    def __call__(self, x):
        """x: [..., D] -> [..., D]."""
        y = nn.gelu(self.dense(self.hidden, name="fc1")(x), approximate=False)
        return self.dense(x.shape[-1], name="fc2")(y)


class MixerLayer(nn.Module):
    """Equation 1: x + (W₂ σ(W₁ norm(x)ᵀ))ᵀ, then the same along the channels."""

    tokens: int
    channels: int
    stochastic_depth: float
    dense: Any
    norm: Any

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, N, C] -> [B, N, C]."""
        branch = Dropout(self.stochastic_depth, shared=(1, 2))
        y = self.norm(name="norm1")(x).swapaxes(1, 2)
        x = x + branch(Perceptron(self.tokens, self.dense, name="mlp_tokens")(y).swapaxes(1, 2), train)
        y = self.norm(name="norm2")(x)
        return x + branch(Perceptron(self.channels, self.dense, name="mlp_channels")(y), train)


class Mixer(nn.Module):
    """Patches through a linear layer, mixer layers, norm, the mean over patches, classifier.

    The variant sets the four fields below it, unless they are given.
    """

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("stochastic_depth",)

    variant: str = "B"  # a name in VARIANTS
    width: int = 0
    depth: int = 0
    tokens: int = 0
    channels: int = 0
    patch: int = 16
    stochastic_depth: float = 0.0  # rate of the last layer; it rises linearly from 0 in the first
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float, H and W multiples of `patch` -> logits [B, num_classes].

        The parameters belong to one number of patches. With num_classes=0 a dictionary of maps
        [B, H/patch, W/patch, width], "stem" and "stage1", "stage2", ... after each layer, and "pre_logits" [B, width].
        """
        variant = resolve(self, VARIANTS)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        norm = normalisation("layer", train, None, epsilon=1e-6, **types)
        dense = partial(nn.Dense, **types)

        x = embed_patches(x, variant.width, self.patch, name="embedding", **types)
        grid = x.shape
        maps = {"stem": x}
        x = x.reshape(len(x), -1, variant.width)
        for i in range(variant.depth):
            rate = self.stochastic_depth * i / max(variant.depth - 1, 1)
            x = MixerLayer(variant.tokens, variant.channels, rate, dense, norm, name=f"layer{i}")(x, train)
            maps[f"stage{i + 1}"] = x.reshape(grid)
        x = norm(name="norm")(x).mean(1)
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        return exact(dense(self.num_classes, kernel_init=nn.initializers.zeros, name="head")(x))


PORTS = {"timm": Port(names={r"^embedding/": "stem/proj/", r"^layer(\d+)/": r"blocks/\1/"})}
