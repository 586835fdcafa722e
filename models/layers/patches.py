"""Images as patches, and the embeddings of their positions. Dosovitskiy et al., ICLR 2021, sections 3.1 and 3.2."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from models.errors import ModelError


def embed_patches(x, width: int, patch: int, **fields):
    """A linear map of each patch, inside a module's compact method: [B, H, W, C] -> [B, H/patch, W/patch, width].

    `fields` are those of the convolution that computes it: `name`, `dtype`, ... Raises ModelError unless `patch`
    divides H and W.
    """
    if x.shape[1] % patch or x.shape[2] % patch:
        raise ModelError(f"patch={patch} does not tile images of {x.shape[1]}×{x.shape[2]}")
    window = (patch, patch)
    return nn.Conv(width, window, strides=window, padding="VALID", **fields)(x)


def interpolate_positions(positions, old, new):
    """Position embeddings for another resolution: section 3.2, "fine-tuning and higher resolution".

    positions: [1, tokens + h·w, C] for a grid of old = (h, w) patches -> [1, tokens + h'·w', C] for new = (h', w').
    Bilinear over the grid. The embeddings of class and distillation tokens have no place in it and are kept.
    """
    tokens = positions.shape[1] - old[0] * old[1]
    if tokens not in (0, 1, 2):
        raise ModelError(f"{positions.shape[1]} position embeddings do not belong to a grid of {old[0]}×{old[1]}")
    grid = positions[:, tokens:].reshape(1, *old, -1)
    grid = jax.image.resize(grid, (1, *new, grid.shape[-1]), "linear", antialias=False)
    return jnp.concatenate([positions[:, :tokens], grid.reshape(1, new[0] * new[1], -1)], axis=1)


def adapt_positions(positions, shape, tokens: int):
    """Position embeddings [1, N, C] of a square image -> [1, N', C] = `shape` of another square image.

    The first `tokens` are not part of the grid. Returned unchanged where the widths differ or a grid is not square.
    """
    old, new = (math.isqrt(x[1] - tokens) for x in (positions.shape, shape))
    square = (old**2 + tokens, new**2 + tokens) == (positions.shape[1], shape[1])
    if positions.shape[-1] != shape[-1] or not square:
        return positions
    return interpolate_positions(positions, (old, old), (new, new))
