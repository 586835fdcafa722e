"""The colours of one image [H, W, C], float in [0, 1]: every pixel is changed where it is. Nothing is random.

Operations that Pillow has too (ImageOps, ImageEnhance) agree with it up to its rounding to 256 levels.
"""

import jax.numpy as jnp


def luminance(image):
    """[H, W, 1]: ITU-R 601 luma of an RGB image; the mean over any other number of channels."""
    channels = image.shape[-1]
    weights = (0.299, 0.587, 0.114) if channels == 3 else (1 / channels,) * channels
    # summed by hand: XLA's CPU backend is many times slower at reducing so short an axis
    return sum(weight * image[..., index : index + 1] for index, weight in enumerate(weights))


def blend(degenerate, image, factor):
    """Between `degenerate` (factor 0) and `image` (factor 1) or beyond, cut off at black and white: [H, W, C]."""
    return jnp.clip(degenerate + factor * (image - degenerate), 0, 1)


def shift_hue(image, turn):
    """An RGB image [H, W, 3] with its hue moved by `turn`, in turns of the colour circle, by way of HSV."""
    red, green, blue = (image[..., index : index + 1] for index in range(3))
    value = jnp.maximum(jnp.maximum(red, green), blue)
    chroma = value - jnp.minimum(jnp.minimum(red, green), blue)
    divisor = jnp.where(chroma > 0, chroma, 1)
    sixth = jnp.where(
        value == red,
        (green - blue) / divisor,
        jnp.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    # A channel is the value less the chroma, by the distance of the hue from that channel's own third.
    place = jnp.array([5, 3, 1], image.dtype) + sixth + 6 * turn
    place = place - 6 * jnp.floor(place / 6)
    return value - chroma * jnp.clip(jnp.minimum(place, 4 - place), 0, 1)


def solarize(image, threshold):
    """Values of at least `threshold` in [0, 1] are inverted."""
    return jnp.where(image < threshold, image, 1 - image)


def posterize(image, bits):
    """The `bits` (1 to 8) highest of the 8 bits of each channel; the others are 0."""
    step = 2.0 ** (8 - bits)
    return (jnp.floor(_levels(image) / step) * step / 255).astype(image.dtype)


def autocontrast(image):
    """Each channel stretched so that its darkest pixel is 0 and its brightest 1; a constant channel is unchanged."""
    low, high = image.min((0, 1)), image.max((0, 1))
    stretched = (image - low) / jnp.where(high > low, high - low, 1)
    return jnp.where(high > low, stretched, image)


def equalize(image):
    """Each channel with a histogram over 256 levels as flat as a mapping of levels can make it (Pillow's rule)."""
    levels = _levels(image).astype(jnp.int32).reshape(-1, image.shape[-1])
    channel = jnp.arange(image.shape[-1])
    histogram = jnp.zeros((256, image.shape[-1]), jnp.int32).at[levels, channel].add(1)
    step = (len(levels) - histogram[levels.max(0), channel]) // 255
    below = jnp.cumsum(histogram, 0) - histogram
    table = jnp.minimum((below + step // 2) // jnp.maximum(step, 1), 255)
    table = jnp.where(step > 0, table, jnp.arange(256)[:, None])
    return (table[levels, channel] / jnp.asarray(255, image.dtype)).reshape(image.shape)


def _levels(image):
    """The nearest of the 256 levels, 0 to 255, as floats."""
    return jnp.clip(jnp.round(image * 255), 0, 255)
