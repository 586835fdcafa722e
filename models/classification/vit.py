"""ViT: a Transformer encoder whose words are patches of an image (Dosovitskiy et al. 2021).

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import choose
from models.layers.attention import SelfAttention
from models.layers.dropout import Dropout
from models.layers.norm import norm as normalisation
from models.layers.patches import adapt_positions, embed_patches
from models.layers.precision import exact
from models.layers.variants import resolve
from models.port import Port, Slice

# Table 1; Ti and S are from Steiner et al., "How to train your ViT?", 2021, table 1.
VARIANTS = {
    "Ti": dict(width=192, depth=12, heads=3, mlp=768),
    "S": dict(width=384, depth=12, heads=6, mlp=1536),
    "B": dict(width=768, depth=12, heads=12, mlp=3072),
    "L": dict(width=1024, depth=24, heads=16, mlp=4096),
    "H": dict(width=1280, depth=32, heads=16, mlp=5120),
}


class EncoderBlock(nn.Module):
    """x ← x + attention(norm(x)), x ← x + mlp(norm(x)): equations 2 and 3, with the exact GELU."""

    heads: int
    mlp: int
    dropout_rate: float
    stochastic_depth: float
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, N, C] -> [B, N, C]."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        norm = normalisation("layer", train, None, epsilon=1e-6, **types)
        dense = partial(
            nn.Dense,
            kernel_init=nn.initializers.xavier_uniform(),
            bias_init=nn.initializers.normal(1e-6),
            **types,
        )
        dropout = Dropout(self.dropout_rate)
        branch = Dropout(self.stochastic_depth, shared=(1, 2))  # an example keeps or loses the whole branch

        y = norm(name="norm1")(x)
        y = SelfAttention(self.heads, name="attention", **types)(y)
        x = x + branch(dropout(y, train), train)

        y = norm(name="norm2")(x)
        y = dropout(nn.gelu(dense(self.mlp, name="mlp1")(y), approximate=False), train)
        y = dense(x.shape[-1], name="mlp2")(y)
        return x + branch(dropout(y, train), train)


class ViT(nn.Module):
    """Patches of the image as tokens, `depth` blocks, a classifier on the class token or the patches' mean.

    The variant sets the four fields below it, unless they are given: variant="Ti", depth=7 is a shallower Ti.
    """

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate", "stochastic_depth")

    variant: str = "B"  # a name in VARIANTS
    width: int = 0
    depth: int = 0
    heads: int = 0
    mlp: int = 0
    patch: int = 16
    pool: str = "token"  # "token": a class token | "gap": the mean of the patches
    representation: int = 0  # width of the tanh layer before the head, which the paper pre-trains with; 0: none
    dropout_rate: float = 0.0
    stochastic_depth: float = 0.0  # rate of the last block; it rises linearly from 0 in the first
    remat: bool = False  # compute each block again in the backward pass instead of keeping it
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float, H and W multiples of `patch` -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps [B, H/patch, W/patch, width] without the class token: "stem", the
        embedded patches, and "stage1", "stage2", ... after each block; and "pre_logits" [B, D].
        """
        variant = resolve(self, VARIANTS)
        pool = choose({"token": lambda x: x[:, 0], "gap": lambda x: x.mean(1)}, "pool", self.pool)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)

        x = embed_patches(x, variant.width, self.patch, name="embedding", **types)
        grid = x.shape
        x = x.reshape(len(x), -1, variant.width)
        if self.pool == "token":
            token = self.param("token", nn.initializers.zeros, (1, 1, variant.width), self.param_dtype)
            x = jnp.concatenate([jnp.broadcast_to(token, (len(x), 1, variant.width)).astype(x.dtype), x], axis=1)
        positions = self.param("positions", nn.initializers.normal(0.02), (1, *x.shape[1:]), self.param_dtype)
        x = Dropout(self.dropout_rate)(x + positions.astype(x.dtype), train)

        as_map = lambda x: x[:, self._tokens :].reshape(grid)
        maps = {"stem": as_map(x)}
        block = nn.remat(EncoderBlock, static_argnums=(2,)) if self.remat else EncoderBlock
        for i in range(variant.depth):
            rate = self.stochastic_depth * i / max(variant.depth - 1, 1)
            x = block(variant.heads, variant.mlp, self.dropout_rate, rate, name=f"block{i}", **types)(x, train)
            maps[f"stage{i + 1}"] = as_map(x)
        x = pool(normalisation("layer", train, None, epsilon=1e-6, **types)(name="norm")(x))

        if self.representation:
            x = nn.tanh(nn.Dense(self.representation, name="representation", **types)(x))
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        x = nn.Dense(self.num_classes, kernel_init=nn.initializers.zeros, name="head", **types)(x)
        return exact(x)

    @property
    def _tokens(self) -> int:
        """Tokens in front of those of the patches."""
        return int(self.pool == "token")

    def adapt(self, name, value, shape):
        """A parameter trained on square images of another size, as `shape`; unchanged if it cannot be adapted."""
        return adapt_positions(value, shape, self._tokens) if name == "positions" else value


PORTS = {
    "timm": Port(
        names={
            r"^token$": "cls_token",
            r"^positions$": "pos_embed",
            r"^embedding/": "patch_embed/proj/",
            r"^block(\d+)/": r"blocks/\1/",
            r"/attention/(query|key|value)/": "/attn/qkv/",
            r"/attention/out/": "/attn/proj/",
            r"/mlp(\d)/": r"/mlp/fc\1/",
            r"^representation/": "pre_logits/fc/",
        },
        slices={r"/query/": Slice(0, 3), r"/key/": Slice(1, 3), r"/value/": Slice(2, 3)},
    ),
    "transformers": Port(
        names={
            r"^token$": "vit/embeddings/cls_token",
            r"^positions$": "vit/embeddings/position_embeddings",
            r"^embedding/": "vit/embeddings/patch_embeddings/projection/",
            r"/norm1/": "/layernorm_before/",
            r"/norm2/": "/layernorm_after/",
            r"/attention/(q|k|v|o)\w+/": r"/attention/\1_proj/",
            r"/mlp(\d)/": r"/mlp/fc\1/",
            r"^block(\d+)/": r"vit/layers/\1/",
            r"^norm/": "vit/layernorm/",
            r"^representation/": "vit/pooler/dense/",
            r"^head/": "classifier/",
        }
    ),
}
