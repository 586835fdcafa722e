"""Augmentations that treat a grey level as a probability or as an interval."""

import jax

from data.augment.lift import over_images


def binarise(*, info):
    """Each pixel is 1 with the probability of its grey level, otherwise 0: dynamic binarisation.

    Salakhutdinov and Murray 2008.
    """
    return over_images(lambda image, key: jax.random.bernoulli(key, image).astype(image.dtype), info)


def dequantise(*, info):
    """(v + u) / 256 for 8-bit values v, u uniform in [0, 1): a density in place of 256 masses."""
    return over_images(lambda image, key: (255 * image + jax.random.uniform(key, image.shape, image.dtype)) / 256, info)
