"""Augmentations of colour and sharpness: every pixel stays in its place."""

import jax
import jax.numpy as jnp
import numpy as np

from data.augment.lift import check_channels, over_images
from data.errors import DataError
from data.images import color, filters
from data.specs import check_range

# Covariance of RGB in [0, 1] over ImageNet's training pixels, from the eigenvalues (0.2175, 0.0188, 0.0045)
# and eigenvectors that fb.resnet.torch publishes.
IMAGENET_COVARIANCE = ((0.08049, 0.07016, 0.0634), (0.07016, 0.07635, 0.07224), (0.0634, 0.07224, 0.08395))


def color_jitter(
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    hue: float = 0.0,
    probability: float = 1.0,
    *,
    info,
):
    """Change brightness, contrast and saturation in a random order, then the hue.

    For an argument s the factor is uniform in [max(0, 1 - s), 1 + s], the turn of the hue in ±`hue`, at most 0.5.
    torchvision's ColorJitter shuffles the hue as well.
    """
    check_range("hue", hue, 0, 0.5)
    if hue > 0:
        check_channels("a hue", 3, info)
    strengths = (brightness, contrast, saturation)
    for name, strength in zip(("brightness", "contrast", "saturation"), strengths, strict=True):
        check_range(name, strength, 0)

    def change(image, key):
        factors_key, order_key, hue_key = jax.random.split(key, 3)
        low = jnp.asarray([max(0.0, 1 - strength) for strength in strengths], image.dtype)
        high = jnp.asarray([1 + strength for strength in strengths], image.dtype)
        factors = jax.random.uniform(factors_key, (3,), image.dtype, low, high)
        order = jax.random.permutation(order_key, 3)
        for which in order:
            grey = color.luminance(image)
            degenerate = jnp.stack([jnp.zeros_like(grey), jnp.full_like(grey, grey.mean()), grey])[which]
            image = color.blend(degenerate, image, factors[which])
        if hue > 0:
            image = color.shift_hue(image, jax.random.uniform(hue_key, (), image.dtype, -hue, hue))
        return image

    return over_images(change, info, probability)


def grayscale(probability: float = 0.2, *, info):
    """Replace the colours by their luminance, in all channels."""
    return over_images(lambda image, key: jnp.broadcast_to(color.luminance(image), image.shape), info, probability)


def pca_color(strength: float = 0.1, covariance: tuple = IMAGENET_COVARIANCE, *, info):
    """Add Σ p_i α_i λ_i to every pixel (Krizhevsky et al. 2012, sec. 4.1).

    α ~ N(0, strength²) is drawn once per image; p and λ are the eigenvectors and eigenvalues of the `covariance`
    (3 rows of 3) of the data's RGB in [0, 1].
    """
    check_channels("the covariance", 3, info)
    check_range("strength", strength, 0)
    if np.shape(covariance) != (3, 3):
        raise DataError(f"covariance is 3 rows of 3 numbers, not {covariance!r}")
    values, vectors = np.linalg.eigh(np.asarray(covariance))

    def change(image, key):
        alpha = strength * jax.random.normal(key, (3,), image.dtype)
        shift = (jnp.asarray(vectors * values, image.dtype) * alpha).sum(1)
        return jnp.clip(image + shift, 0, 1)

    return over_images(change, info)


def gaussian_blur(size: int, sigma: tuple = (0.1, 2.0), probability: float = 0.5, *, info):
    """Blur with a Gaussian of `size` × `size` taps, its sigma uniform in the interval.

    `size` is odd; SimCLR takes a tenth of the side.
    """
    if size < 1 or size % 2 == 0:
        raise DataError(f"size is an odd number of pixels, not {size}")
    if len(sigma) != 2 or not 0 < sigma[0] <= sigma[1]:
        raise DataError(f"sigma is two rising positive numbers, not {sigma!r}")

    def change(image, key):
        return filters.gaussian_blur(image, size, jax.random.uniform(key, (), image.dtype, *sigma))

    return over_images(change, info, probability)


def solarize(threshold: float = 0.5, probability: float = 0.5, *, info):
    """Invert the pixels at least as bright as `threshold` in [0, 1]."""
    check_range("threshold", threshold, 0, 1)
    return over_images(lambda image, key: color.solarize(image, threshold), info, probability)


def posterize(bits: int = 4, probability: float = 0.5, *, info):
    """Keep the `bits` highest of 8 bits in every channel."""
    check_range("bits", bits, 1, 8)
    return over_images(lambda image, key: color.posterize(image, bits), info, probability)


def equalize(probability: float = 0.5, *, info):
    """Flatten the histogram of every channel."""
    return over_images(lambda image, key: color.equalize(image), info, probability)


def autocontrast(probability: float = 0.5, *, info):
    """Stretch every channel to the whole range."""
    return over_images(lambda image, key: color.autocontrast(image), info, probability)
