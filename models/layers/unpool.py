"""Max pooling that remembers, and three ways back. Zeiler & Fergus, ECCV 2014, section 2.1; Badrinarayanan et al. 2017.

A pooled pixel is the maximum of a window of size × size. The place of the maximum is a number in [0, size²), row by
row.
"""

import jax
import jax.numpy as jnp

from models.errors import ModelError


def max_pool_with_places(x, size: int = 2):
    """x: [B, H, W, C] -> (maxima, places), [B, H // size, W // size, C] each.

    Of equal values the first is the maximum, as in torch. Rows and columns that no whole window covers are dropped.
    """
    height, width = x.shape[1] // size, x.shape[2] // size
    windows = _windows(x[:, : height * size, : width * size], size)
    places = windows.argmax(3)
    return jnp.take_along_axis(windows, places[:, :, :, None], 3)[:, :, :, 0], places


def unpool_max(x, places, sides: tuple[int, int] | None = None, size: int = 2):
    """Each pixel of x goes to the place where the pooling found its own; all others are 0.

    Args:
      x: [B, h, w, C].
      places: of the pooling that made a map of this size.
      sides: (H, W) of what was pooled; None: (h · size, w · size).

    Returns: [B, H, W, C].
    """
    if x.shape[1:] != places.shape[1:]:
        raise ModelError(f"places of a map {places.shape[1:]} do not belong to a map {x.shape[1:]}")
    spread = x[:, :, :, None] * jax.nn.one_hot(places, size**2, axis=3, dtype=x.dtype)
    return _padded(_joined(spread, size), sides)


def unpool_nails(x, sides: tuple[int, int] | None = None, size: int = 2):
    """The bed of nails: each pixel goes to the top left of its window. Arguments as of `unpool_max`."""
    return unpool_max(x, jnp.zeros(x.shape, jnp.int32), sides, size)


def unpool_nearest(x, sides: tuple[int, int] | None = None, size: int = 2):
    """Each pixel fills its window. Arguments as of `unpool_max`; what no window covers is 0."""
    return _padded(x.repeat(size, 1).repeat(size, 2), sides)


def _windows(x, size):
    """[B, h · size, w · size, C] -> [B, h, w, size², C]."""
    b, height, width, c = x.shape
    x = x.reshape(b, height // size, size, width // size, size, c).swapaxes(2, 3)
    return x.reshape(b, height // size, width // size, size**2, c)


def _joined(x, size):
    """The inverse of `_windows`."""
    b, height, width, _, c = x.shape
    x = x.reshape(b, height, width, size, size, c).swapaxes(2, 3)
    return x.reshape(b, height * size, width * size, c)


def _padded(x, sides):
    """x with zeros below and on the right, so that it has these sides."""
    height, width = sides or x.shape[1:3]
    return jnp.pad(x, ((0, 0), (0, height - x.shape[1]), (0, width - x.shape[2]), (0, 0)))
