"""MAE: a ViT that sees a quarter of the patches, and a small one that paints the others (He et al. 2022).

He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022. The encoder's parameters have the names of
models/classification/vit.py, which a ViT takes over by train.init_from.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from models.classification.vit import EncoderBlock
from models.errors import ModelError
from models.layers.norm import norm as normalisation
from models.layers.patches import embed_patches
from models.layers.precision import exact
from models.port import Port


def waves(key, shape, dtype):
    """Positions [1, 1 + h·w, D] of a square grid: sines and cosines of the column, then of the row; 0 for the token."""
    side, quarter = round((shape[1] - 1) ** 0.5), shape[2] // 4
    if side**2 + 1 != shape[1] or shape[2] % 4:
        raise ModelError(f"{shape[1] - 1} patches of width {shape[2]}: a square of patches, and a multiple of 4")
    angles = np.arange(side)[:, None] / 10_000 ** (np.arange(quarter) / quarter)
    one = np.concatenate([np.sin(angles), np.cos(angles)], 1)
    column, row = np.tile(one, (side, 1)), np.repeat(one, side, 0)
    grid = np.concatenate([column, row], 1)
    return jnp.asarray(np.concatenate([np.zeros((1, shape[2])), grid])[None], dtype)


def pick(x, index):
    """x: [B, N, D], index: [B, M] -> [B, M, D]."""
    return jnp.take_along_axis(x, index[..., None], axis=1)


class MAE(nn.Module):
    """The encoder sees the patches with the least noise; the decoder has a learnt token in place of every hidden one.

    The positions of both are fixed in the paper: a page freezes them (optimizer.freeze=("positions",)).
    """

    conditions: ClassVar[tuple[str, ...]] = ()

    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp: int = 3072
    decoder_width: int = 512
    decoder_depth: int = 8
    decoder_heads: int = 16
    masked: float = 0.75  # the share of patches that the encoder does not see
    dtype: Any = None
    param_dtype: Any = jnp.float32

    def kept(self, count: int) -> int:
        """How many of `count` patches the encoder sees."""
        return int(count * (1 - self.masked))

    @nn.compact
    def __call__(self, x, noise, train: bool):
        """x: [B, H, W, C], H = W; noise: [B, N], a number for each patch -> (patches [B, N, patch²·C], mask [B, N]).

        mask is 1 where the encoder did not see the patch.
        """
        types, channels = dict(dtype=self.dtype, param_dtype=self.param_dtype), x.shape[-1]
        norm = normalisation("layer", train, None, epsilon=1e-6, **types)
        zeros = nn.initializers.zeros

        x = embed_patches(x, self.width, self.patch, name="embedding", **types)
        x = x.reshape(len(x), -1, self.width)
        batch, count, _ = x.shape
        positions = self.param("positions", waves, (1, count + 1, self.width), self.param_dtype).astype(x.dtype)
        token = self.param("token", zeros, (1, 1, self.width), self.param_dtype).astype(x.dtype)
        order = jnp.argsort(noise, axis=1)
        place, kept = jnp.argsort(order, axis=1), self.kept(count)

        x = pick(x + positions[:, 1:], order[:, :kept])
        x = jnp.concatenate([jnp.broadcast_to(token + positions[:, :1], (batch, 1, self.width)), x], axis=1)
        for i in range(self.depth):
            x = EncoderBlock(self.heads, self.mlp, 0.0, 0.0, name=f"block{i}", **types)(x, train)
        x = norm(name="norm")(x)

        x = nn.Dense(self.decoder_width, name="decoder_embedding", **types)(x)
        blank = self.param("decoder_mask", zeros, (1, 1, self.decoder_width), self.param_dtype).astype(x.dtype)
        blank = jnp.broadcast_to(blank, (batch, count - kept, self.decoder_width))
        shape = (1, count + 1, self.decoder_width)
        positions = self.param("decoder_positions", waves, shape, self.param_dtype).astype(x.dtype)
        x = jnp.concatenate([x[:, :1], pick(jnp.concatenate([x[:, 1:], blank], axis=1), place)], axis=1) + positions
        block = partial(EncoderBlock, self.decoder_heads, 4 * self.decoder_width, 0.0, 0.0, **types)
        for i in range(self.decoder_depth):
            x = block(name=f"decoder_block{i}")(x, train)
        x = norm(name="decoder_norm")(x)
        x = nn.Dense(self.patch**2 * channels, name="decoder_head", **types)(x[:, 1:])
        return exact(x), (place >= kept).astype(jnp.float32)


PORTS = {
    "transformers": Port(
        names={
            r"^token$": "vit/embeddings/cls_token",
            r"^positions$": "vit/embeddings/position_embeddings",
            r"^embedding/": "vit/embeddings/patch_embeddings/projection/",
            r"^decoder_mask$": "decoder/mask_token",
            r"^decoder_positions$": "decoder/decoder_pos_embed",
            r"^decoder_embedding/": "decoder/decoder_embed/",
            r"^decoder_norm/": "decoder/decoder_norm/",
            r"^decoder_head/": "decoder/decoder_pred/",
            r"^decoder_block(\d+)/": r"decoder/decoder_layers/\1/",
            r"^block(\d+)/": r"vit/layers/\1/",
            r"/norm1/": "/layernorm_before/",
            r"/norm2/": "/layernorm_after/",
            r"/attention/(q|k|v|o)\w+/": r"/attention/\1_proj/",
            r"/mlp(\d)/": r"/mlp/fc\1/",
            r"^norm/": "vit/layernorm/",
        }
    )
}
