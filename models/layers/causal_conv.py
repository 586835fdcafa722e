"""Convolutions over the pixels above and to the left, of a whole image or at one place of it.

When an image is generated pixel by pixel, each layer keeps its inputs in the collection "cache". The first layer reads
the whole image, in which the current pixel is not known yet.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np


class Place(NamedTuple):
    """Where in an image of `height` × `width` pixels an input is: a pixel, or a row where `column` is None."""

    row: jax.Array
    column: jax.Array | None
    height: int
    width: int


def owners(features: int, channels: int) -> np.ndarray:
    """The image channel to which each of the features of a pixel belongs: C blocks in their order, [features]."""
    return np.arange(features) * channels // features


def may_read(inputs: np.ndarray, outputs: np.ndarray, own: bool) -> np.ndarray:
    """[I, O] bool: which features of a pixel may read which of the same pixel, given the channels that own them.

    Those of channels before, and with `own` those of their own channel: masks A (without) and B of van den Oord et al.
    2016, section 3.4.
    """
    return inputs[:, None] <= outputs if own else inputs[:, None] < outputs


class CausalConv(nn.Module):
    """A convolution whose kernel ends in the pixel's row, and in its column or, with `around`, as far right as left."""

    features: int
    kernel_size: tuple[int, int]
    around: bool = False
    keep: bool = True  # at a place, x is what is there and is kept; False: x is the whole of it
    mask: np.ndarray | None = None  # [I, features], of the pixel itself; with it, none to its right is read
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, place: Place | None = None):
        """x: [B, H, W, I] -> [B, H, W, features], or with a place x [B, 1, 1 or W, I] -> [B, 1, 1 or W, features]."""
        rows, columns = self.kernel_size
        right = columns // 2 if self.around else 0
        top, left = rows - 1, columns - 1 - right
        mask = None
        if self.mask is not None:
            mask = np.ones((rows, columns, *self.mask.shape), bool)
            mask[-1, left] = self.mask
            mask[-1, left + 1 :] = False
        conv = nn.Conv(
            self.features,
            self.kernel_size,
            padding="VALID",
            mask=mask,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name="conv",
        )
        pad = lambda x: jnp.pad(x, ((0, 0), (top, 0), (left, right), (0, 0)))
        if place is None:
            return conv(pad(x))
        column = 0 if place.column is None else place.column
        if self.keep:
            size = (len(x), place.height + top, place.width + left + right, x.shape[-1])
            seen = self.variable("cache", "seen", jnp.zeros, size, x.dtype)
            seen.value = x = jax.lax.dynamic_update_slice(seen.value, x, (0, place.row + top, column + left, 0))
        else:
            x = pad(x)
        extent = x.shape[2] if place.column is None else columns
        return conv(jax.lax.dynamic_slice(x, (0, place.row, column, 0), (len(x), rows, extent, x.shape[-1])))


def place_of(x: jax.Array, position: jax.Array) -> tuple[Place, jax.Array]:
    """(the pixel, the channel []) of a value of x [B, H, W, C], counted in the order of reading."""
    _, height, width, channels = x.shape
    pixel, channel = position // channels, position % channels
    return Place(pixel // width, pixel % width, height, width), channel


def of_channel(output: jax.Array, channel: jax.Array, channels: int) -> jax.Array:
    """The numbers of one channel, [B, F], of those of a pixel, [B, 1, 1, C·F]."""
    return output.reshape(len(output), channels, -1)[:, channel]
