"""Maps of a fixed size from regions of interest: RoIPool (Girshick 2015) and RoIAlign (He et al. 2017).

Everything is for one image: a map [h, w, C] and regions [R, 4] (x1, y1, x2, y2) in pixels of the image.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp


def roi_align(x, regions, size: int, scale: float, sampling: int | None = 2, aligned: bool = False):
    """Means of sampling² bilinear samples in each of size × size bins. He et al. 2017, section 3: [R, size, size, C].

    Bilinear samples and their means separate into rows and columns, so a region is two products with matrices of
    weights. A sample beyond the map by more than a pixel is 0; nearer ones take the value at the border.

    Args:
      x: [h, w, C]; regions: [R, 4].
      scale: pixels of the map per pixel of the image, such as 1/16.
      sampling: samples of a bin along an axis; None: as many as it has pixels, rounded up. Then regions must lie in the
        image.
      aligned: pixel centres are at halves. False: at whole numbers, and a region is at least one pixel, as in the
        detectors of torchvision.
    """
    rows, columns = _weights(x, regions, size, scale, sampling, aligned)
    return jnp.einsum("rph,hwc,rqw->rpqc", rows, x, columns, optimize=[(0, 1), (0, 1)])


def _weights(x, regions, size, scale, sampling, aligned):
    """The weights [R, size, h] of rows and [R, size, w] of columns in the bins of each region.

    They are computed in the type of the regions, which must hold fractions of pixels, and returned in that of the map.
    """
    corners = regions * scale - (0.5 if aligned else 0.0)
    sides = corners[:, 2:] - corners[:, :2]
    sides = sides if aligned else jnp.maximum(sides, 1)

    def along(axis, length):
        side = sides[:, axis, None, None]  # [R, 1, 1]
        count = jnp.maximum(jnp.ceil(side / size), 1) if sampling is None else sampling
        sample = jnp.arange(-(-length // size) if sampling is None else sampling)
        places = (jnp.arange(size)[:, None] + (sample + 0.5) / count) / size
        at = corners[:, axis, None, None] + side * places  # [R, size, samples]
        counts = (at >= -1) & (at <= length) & (sample < count)
        at = jnp.clip(at, 0, length - 1)
        # The hat function gives 1 − distance to the two neighbours.
        weights = jnp.maximum(1 - jnp.abs(at[..., None] - jnp.arange(length)), 0) * counts[..., None]
        return (weights / count[..., None] if sampling is None else weights / count).sum(2)

    return along(1, x.shape[0]).astype(x.dtype), along(0, x.shape[1]).astype(x.dtype)


def pyramid_align(maps: Sequence[jax.Array], levels, regions, size: int, scales: Sequence[float], sampling: int = 2):
    """`roi_align` of each region in the map of its own level: [R, size, size, C].

    Args:
      maps: [h, w, C] each, with the `scales` of `roi_align`.
      levels: [R] int, the place of each region's map in `maps`.
    """
    total = 0
    for place, (x, scale) in enumerate(zip(maps, scales, strict=True)):
        rows, columns = _weights(x, regions, size, scale, sampling, aligned=False)
        rows = rows * (levels == place)[:, None, None]
        total = total + jnp.einsum("rph,hwc,rqw->rpqc", rows, x, columns, optimize=[(0, 1), (0, 1)])
    return total


def pyramid_levels(regions, least: int, most: int, canonical: int = 4, side: float = 224.0):
    """The level whose map a region reads, ⌊4 + log₂(√area / 224)⌋ within [least, most]: Lin et al. 2017, equation 1.

    regions: [R, 4] -> [R] int. A millionth is added to the logarithm, as in torchvision, so that 224² is on level 4.
    """
    area = jnp.maximum((regions[:, 2] - regions[:, 0]) * (regions[:, 3] - regions[:, 1]), 1e-12)
    level = jnp.floor(canonical + jnp.log2(jnp.sqrt(area) / side) + 1e-6)
    return jnp.clip(level, least, most).astype(jnp.int32)


def roi_pool(x, regions, size: int, scale: float):
    """The largest value in each of size × size bins of whole pixels. Girshick 2015, section 2.1: [R, size, size, C].

    It rounds twice: the region to whole pixels of the map, and the borders of bins to the pixels that they touch. A bin
    without pixels is 0.

    Args:
      x: [h, w, C]; regions: [R, 4]; scale: pixels of the map per pixel of the image.
    """
    corners = _half_away(regions * scale)
    sides = jnp.maximum(corners[:, 2:] - corners[:, :2] + 1, 1)
    bins = jnp.arange(size)

    def along(axis, length):
        start, side = corners[:, axis, None], sides[:, axis, None] / size
        first = jnp.clip(jnp.floor(bins * side) + start, 0, length)
        last = jnp.clip(jnp.ceil((bins + 1) * side) + start, 0, length)
        pixels = jnp.arange(length)
        return (pixels >= first[..., None]) & (pixels < last[..., None])  # [R, size, length]

    rows, columns = along(1, x.shape[0]), along(0, x.shape[1])

    def largest(rows, columns):
        """Of one region."""
        x_rows = jnp.where(rows[:, :, None, None], x, -jnp.inf).max(1)  # [size, w, C]
        return jnp.where(columns[:, None, :, None], x_rows, -jnp.inf).max(2).swapaxes(0, 1)

    pooled = jax.vmap(largest)(rows, columns)
    full = rows.any(-1)[:, :, None] & columns.any(-1)[:, None, :]
    return jnp.where(full[..., None], pooled, 0)


def _half_away(x):
    """Round halves away from 0, as C does."""
    return jnp.sign(x) * jnp.floor(jnp.abs(x) + 0.5)
