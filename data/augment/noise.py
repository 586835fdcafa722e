"""Augmentations that draw what a grey level only says on average."""

import jax

from data.augment.lift import over_images


def binarise():
    """Each pixel is 1 with the probability of its grey level, else 0: dynamic binarisation.

    Salakhutdinov and Murray 2008.
    """
    return over_images(lambda image, key: jax.random.bernoulli(key, image).astype(image.dtype))


def dequantise():
    """(v + u) / 256 for 8-bit values v, u uniform in [0, 1): a density in place of 256 masses."""
    return over_images(lambda image, key: (255 * image + jax.random.uniform(key, image.shape, image.dtype)) / 256)
