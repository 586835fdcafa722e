"""U-ViT: a Transformer for diffusion with long skips, whose tokens are patches, time and class (Bao et al. 2023).

Bao et al., "All are Worth Words: A ViT Backbone for Diffusion Models", CVPR 2023, figure 1 and the authors' code. The
maps to queries, keys and values have biases here, which the authors leave out.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError
from models.layers.attention import SelfAttention
from models.layers.dropout import Dropout
from models.layers.norm import norm as normalisation
from models.layers.patches import adapt_positions, embed_patches
from models.layers.precision import exact
from models.layers.time_features import time_features
from models.layers.variants import resolve

# Table 1; the depth counts the block in the middle.
VARIANTS = {
    "S": dict(width=512, depth=13, heads=8),
    "M": dict(width=768, depth=17, heads=12),
    "L": dict(width=1024, depth=21, heads=16),
    "H": dict(width=1152, depth=29, heads=16),
}

small = nn.initializers.truncated_normal(0.02)


class UViTBlock(nn.Module):
    """x ← linear(x, skip) where there is a skip, then x ← x + attention(norm(x)), x ← x + mlp(norm(x))."""

    heads: int
    dropout_rate: float
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x, skip, train: bool):
        """x: [B, N, C]; skip: [B, N, C] or None -> [B, N, C]."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        channels, dense = x.shape[-1], partial(nn.Dense, kernel_init=small, **types)
        norm, dropout = normalisation("layer", train, None, **types), Dropout(self.dropout_rate)
        if skip is not None:
            x = dense(channels, name="skip")(jnp.concatenate([x, skip], -1))
        attention = SelfAttention(self.heads, kernel_init=small, out_init=small, name="attention", **types)
        x = x + dropout(attention(norm(name="norm1")(x)), train)
        y = nn.gelu(dense(4 * channels, name="mlp1")(norm(name="norm2")(x)), approximate=False)
        return x + dropout(dense(channels, name="mlp2")(y), train)


class UViT(nn.Module):
    """Tokens of time, class and patches, `depth` blocks with the first half joined to the last, a convolution.

    The variant sets the three fields below it, unless they are given. A conditional one has one label more than
    classes: `null` means "any" and replaces a missing label.
    """

    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    variant: str = "S"  # a name in VARIANTS
    width: int = 0
    depth: int = 0  # odd
    heads: int = 0
    patch: int = 2
    outputs: int = 1  # for each channel of the image; 2: with the mixture of a learned variance
    dropout_rate: float = 0.0
    conditional: bool = False
    num_classes: int = 10  # read when conditional
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @property
    def null(self) -> int:
        """The label that means "any class"."""
        return self.num_classes

    @property
    def conditions(self) -> tuple[str, ...]:
        return ("label",) if self.conditional else ()

    def adapt(self, name: str, value, shape):
        """Positions of another image size, by interpolation; see models.interfaces.Adaptable."""
        return adapt_positions(value, shape, 1 + self.conditional) if name == "positions" else value

    @nn.compact
    def __call__(self, x, time, train: bool, label=None):
        """x: [B, H, W, C], H and W multiples of `patch`; time: [B]; label: [B] int -> [B, H, W, outputs·C]."""
        if label is not None and not self.conditional:
            raise ModelError("the network is not conditional, so it takes no label")
        size, types = resolve(self, VARIANTS), dict(dtype=self.dtype, param_dtype=self.param_dtype)
        if size.depth % 2 == 0:
            raise ModelError(f"depth={size.depth}: there are as many blocks before the middle one as after it")
        channels = self.outputs * x.shape[-1]

        tokens = [time_features(time, size.width)[:, None]]
        if self.conditional:
            label = jnp.full(x.shape[0], self.null) if label is None else label
            embed = nn.Embed(self.num_classes + 1, size.width, embedding_init=small, name="label", **types)
            tokens.append(embed(label)[:, None])
        x = embed_patches(x, size.width, self.patch, name="embedding", **types)
        rows, columns = x.shape[1:3]
        x = jnp.concatenate([*tokens, x.reshape(x.shape[0], rows * columns, size.width)], 1)
        x += self.param("positions", small, (1, *x.shape[1:]), self.param_dtype).astype(x.dtype)

        skips, half = [], size.depth // 2
        for i in range(size.depth):
            skip = skips.pop() if i > half else None
            x = UViTBlock(size.heads, self.dropout_rate, name=f"block{i}", **types)(x, skip, train)
            if i < half:
                skips.append(x)
        x = normalisation("layer", train, None, **types)(name="norm")(x)
        x = nn.Dense(self.patch**2 * channels, kernel_init=small, name="head", **types)(x)[:, len(tokens) :]
        x = x.reshape(-1, rows, columns, self.patch, self.patch, channels).transpose(0, 1, 3, 2, 4, 5)
        x = x.reshape(-1, rows * self.patch, columns * self.patch, channels)
        return exact(nn.Conv(channels, (3, 3), name="conv_out", **types)(x))
