"""ViT: a Transformer encoder whose words are patches of an image (Dosovitskiy et al. 2021).

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021. Its fields make the later networks of this shape:
- hybrids, whose patches are the pixels of a ResNet's map: `backbone`, with patch=1 (section 3.1).
- DeiT distilled: Touvron et al., "Training data-efficient image transformers", ICML 2021: `distilled`.
- DINOv2 with registers: Darcet et al., "Vision Transformers Need Registers", ICLR 2024: `registers`, `layer_scale`.
- EVA-02: Fang et al., "EVA-02: A Visual Representation for Neon Genesis", 2023: `gated`, `rotary`.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError, choose
from models.layers.attention import SelfAttention
from models.layers.dropout import Dropout
from models.layers.layer_scale import LayerScale
from models.layers.norm import norm as normalisation
from models.layers.patches import adapt_positions, embed_patches
from models.layers.precision import exact
from models.layers.rotary import rotate
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

# What the head reads of the tokens. The first `in_front` tokens are not patches.
POOLS = {
    "token": lambda x, in_front: x[:, 0],
    "gap": lambda x, in_front: x[:, in_front:].mean(1),
    "both": lambda x, in_front: jnp.concatenate([x[:, 0], x[:, in_front:].mean(1)], -1),
}


class EncoderBlock(nn.Module):
    """x ← x + attention(norm(x)), x ← x + mlp(norm(x)): equations 2 and 3, with the exact GELU.

    A gated perceptron is SwiGLU, swish(W₁x) · W₂x before the last layer (Shazeer 2020).
    """

    heads: int
    mlp: int
    dropout_rate: float
    stochastic_depth: float
    dtype: Any
    param_dtype: Any
    layer_scale: float = 0.0
    gated: bool = False
    rotate: Any = None

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

        def scale(y, name):
            return LayerScale(self.layer_scale, self.param_dtype, name=name)(y) if self.layer_scale else y

        y = norm(name="norm1")(x)
        y = SelfAttention(self.heads, self.rotate, name="attention", **types)(y)
        x = x + branch(scale(dropout(y, train), "scale1"), train)

        y = norm(name="norm2")(x)
        if self.gated:
            y = nn.swish(dense(self.mlp, name="gate")(y)) * dense(self.mlp, name="mlp1")(y)
        else:
            y = nn.gelu(dense(self.mlp, name="mlp1")(y), approximate=False)
        y = dense(x.shape[-1], name="mlp2")(dropout(y, train))
        return x + branch(scale(dropout(y, train), "scale2"), train)


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
    pool: str = "token"  # "token": a class token | "gap": the mean of the patches | "both": the one beside the other
    backbone: nn.Module | None = None  # (image, train) -> maps; its map `level` is what the patches are cut from
    level: str = "stage3"
    distilled: bool = False  # a second class token with a head of its own; the logits are the mean of the two
    registers: int = 0  # further tokens, without positions, which the answer does not read
    layer_scale: float = 0.0  # initial factor of each branch; 0: there is none
    gated: bool = False  # SwiGLU in place of the perceptron
    rotary: bool = False  # turn queries and keys by their positions too
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
        pool = choose(POOLS, "pool", self.pool)
        if self.distilled and self.pool != "token":
            raise ModelError(f"distilled=True averages the answers of two tokens: pool={self.pool!r} is another answer")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)

        if self.backbone is not None:
            x = choose(self.backbone(x, train), "level", self.level)
        x = embed_patches(x, variant.width, self.patch, name="embedding", **types)
        grid = x.shape
        x = x.reshape(len(x), -1, variant.width)

        def prepend(name, count, x):
            tokens = self.param(name, nn.initializers.zeros, (1, count, variant.width), self.param_dtype)
            return jnp.concatenate([jnp.broadcast_to(tokens, (len(x), *tokens.shape[1:])).astype(x.dtype), x], axis=1)

        if self.distilled:
            x = prepend("distillation", 1, x)
        if self.pool != "gap":
            x = prepend("token", 1, x)
        positions = self.param("positions", nn.initializers.normal(0.02), (1, *x.shape[1:]), self.param_dtype)
        x = Dropout(self.dropout_rate)(x + positions.astype(x.dtype), train)
        if self.registers:
            x = jnp.concatenate([x[:, : self._tokens], prepend("registers", self.registers, x[:, self._tokens :])], 1)

        in_front = self._tokens + self.registers
        as_map = lambda x: x[:, in_front:].reshape(grid)
        maps = {"stem": as_map(x)}
        block = nn.remat(EncoderBlock, static_argnums=(2,)) if self.remat else EncoderBlock
        for i in range(variant.depth):
            rate = self.stochastic_depth * i / max(variant.depth - 1, 1)
            x = block(
                variant.heads,
                variant.mlp,
                self.dropout_rate,
                rate,
                layer_scale=self.layer_scale,
                gated=self.gated,
                rotate=partial(rotate, grid=grid[1:3], tokens=in_front) if self.rotary else None,
                name=f"block{i}",
                **types,
            )(x, train)
            maps[f"stage{i + 1}"] = as_map(x)
        tokens = normalisation("layer", train, None, epsilon=1e-6, **types)(name="norm")(x)
        x = pool(tokens, in_front)

        if self.representation:
            x = nn.tanh(nn.Dense(self.representation, name="representation", **types)(x))
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        head = partial(nn.Dense, self.num_classes, kernel_init=nn.initializers.zeros, **types)
        if self.distilled:
            return exact(head(name="head")(x) + head(name="head_distillation")(tokens[:, 1])) / 2
        return exact(head(name="head")(x))

    @property
    def _tokens(self) -> int:
        """Tokens with positions in front of those of the patches."""
        return int(self.pool != "gap") + int(self.distilled)

    def adapt(self, name, value, shape):
        """A parameter trained on square images of another size, as `shape`; unchanged if it cannot be adapted."""
        return adapt_positions(value, shape, self._tokens) if name == "positions" else value


PORTS = {
    "timm": Port(
        names={
            r"^token$": "cls_token",
            r"^distillation$": "dist_token",
            r"^head_distillation/": "head_dist/",
            r"^positions$": "pos_embed",
            r"^embedding/": "patch_embed/proj/",
            r"^block(\d+)/": r"blocks/\1/",
            r"/attention/(query|key|value)/": "/attn/qkv/",
            r"/attention/out/": "/attn/proj/",
            r"/mlp(\d)/": r"/mlp/fc\1/",
            r"^representation/": "pre_logits/fc/",
            # The backbone of timm's hybrids that have stages.
            r"^backbone/stem/": "patch_embed/backbone/stem/conv/",
            r"^backbone/stem_norm/": "patch_embed/backbone/stem/norm/",
            r"^backbone/stage(\d)_(\d+)/": lambda x: f"patch_embed/backbone/stages/{int(x[1]) - 1}/blocks/{x[2]}/",
            r"/shortcut/": "/downsample/conv/",
            r"/shortcut_norm/": "/downsample/norm/",
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
    "transformers_dinov2": Port(
        names={
            r"^token$": "embeddings/cls_token",
            r"^registers$": "embeddings/register_tokens",
            r"^positions$": "embeddings/position_embeddings",
            r"^embedding/": "embeddings/patch_embeddings/projection/",
            r"/attention/(q|k|v|o)\w+/": r"/attention/\1_proj/",
            r"/scale(\d)/gamma": r"/layer_scale\1/lambda1",
            r"/mlp(\d)/": r"/mlp/fc\1/",
            r"^block(\d+)/": r"encoder/layer/\1/",
            r"^norm/": "layernorm/",
            r"^head/": "classifier/",
            r"^(embeddings|encoder|layernorm)/": r"dinov2_with_registers/\1/",
        },
        ignored=(r"mask_token$",),
    ),
    # The authors' vision_transformer, with the axes of the heads joined to the width: kernels are laid out as ours.
    "vit_jax": Port(
        names={
            r"^token$": "cls",
            r"^positions$": "Transformer/posembed_input/pos_embedding",
            r"^representation/": "pre_logits/",
            r"/attention/": "/MultiHeadDotProductAttention_1/",
            r"/norm1/weight$": "/LayerNorm_0/scale",
            r"/norm2/weight$": "/LayerNorm_2/scale",
            r"/norm1/": "/LayerNorm_0/",
            r"/norm2/": "/LayerNorm_2/",
            r"/mlp(\d)/": lambda match: f"/MlpBlock_3/Dense_{int(match[1]) - 1}/",
            r"^block(\d+)/": r"Transformer/encoderblock_\1/",
            r"^norm/weight$": "Transformer/encoder_norm/scale",
            r"^norm/": "Transformer/encoder_norm/",
            "weight$": "kernel",
        },
        layouts={"^embedding/kernel$": (0, 1, 2, 3), "kernel$": (0, 1)},
    ),
}
