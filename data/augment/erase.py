"""Augmentations that hide a rectangle of the image; masks and boxes keep what is behind it."""

import jax
import jax.numpy as jnp
import numpy as np

from data.augment.lift import check_channels, over_images
from data.errors import DataError
from data.specs import check_range


def rectangle(shape, top, left, height, width):
    """True [H, W, 1] in the part of the rectangle that is inside the image."""
    rows, columns = jnp.arange(shape[0])[:, None, None], jnp.arange(shape[1])[None, :, None]
    return (rows >= top) & (rows < top + height) & (columns >= left) & (columns < left + width)


def cutout(size: int, probability: float = 1.0, *, info):
    """Grey out a square of `size` pixels about a uniform pixel, cut at the borders (DeVries and Taylor 2017).

    The square takes the data's mean colour, the zero of standardised images.
    """
    check_range("size", size, 1)
    check_channels("the mean colour", len(info.mean), info)

    def change(image, key):
        centre = jax.random.randint(key, (2,), 0, np.array(image.shape[:2]))
        hidden = rectangle(image.shape, *(centre - size // 2), size, size)
        return jnp.where(hidden, jnp.asarray(info.mean, image.dtype), image)

    return over_images(change, info, probability)


def random_erasing(
    probability: float = 0.5, area: tuple = (0.02, 0.4), aspect: float = 0.3, fill: str = "noise", *, info
):
    """Overwrite a rectangle of random area and shape (Zhong et al. 2020, algorithm 1).

    `area` is a share of the image, height / width is uniform in [aspect, 1 / aspect]; `fill` is "noise"
    (uniform in [0, 1], the paper's best) or "mean". The first of ten drawn rectangles that fits is taken.
    """
    if len(area) != 2 or not 0 < area[0] <= area[1] <= 1:
        raise DataError(f"area is two rising shares of the image, not {area!r}")
    if not 0 < aspect <= 1:
        raise DataError(f"aspect lies above 0 and at most at 1, not at {aspect}")
    if fill not in ("noise", "mean"):
        raise DataError(f"it fills with noise or mean, not {fill!r}")
    check_channels("the mean colour", len(info.mean), info)

    def change(image, key):
        draw_key, noise_key = jax.random.split(key)
        whole = np.array(image.shape[:2])
        draw = jax.random.uniform(draw_key, (10, 4))  # a candidate a row: area, aspect, top, left
        areas = whole.prod() * (area[0] + (area[1] - area[0]) * draw[:, 0])
        aspects = aspect + (1 / aspect - aspect) * draw[:, 1]
        sizes = jnp.round(jnp.sqrt(jnp.stack([areas * aspects, areas / aspects], 1)))
        fits = (sizes < whole).all(1)
        first = fits.argmax()
        size = jnp.where(fits.any(), sizes[first], 0)
        corner = jnp.floor(draw[first, 2:] * (whole - size + 1))
        cover = jnp.asarray(info.mean, image.dtype)
        if fill == "noise":
            cover = jax.random.uniform(noise_key, image.shape, image.dtype)
        return jnp.where(rectangle(image.shape, *corner, *size), cover, image)

    return over_images(change, info, probability)
