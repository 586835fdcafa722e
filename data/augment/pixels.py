"""What can be done to the colours of one image [H, W, C], float in [0, 1].

Plain functions without randomness. Those that Pillow has too (ImageOps, ImageEnhance) agree with it up to its
rounding to 256 levels.
"""

import jax
import jax.numpy as jnp


def luminance(image):
    """[H, W, 1]: ITU-R 601 luma of an RGB image; the mean over any other number of channels."""
    channels = image.shape[-1]
    weights = (0.299, 0.587, 0.114) if channels == 3 else (1 / channels,) * channels
    # summed by hand: XLA's CPU backend is many times slower at reducing so short an axis
    return sum(weight * image[..., index : index + 1] for index, weight in enumerate(weights))


def blend(degenerate, image, factor):
    """Between `degenerate` (factor 0) and `image` (factor 1) or beyond, cut off at black and white."""
    return jnp.clip(degenerate + factor * (image - degenerate), 0, 1)


def smooth(image):
    """The 3 × 3 mean with weight 5 in the middle, the border as it was: what sharpness blends with."""
    around = jax.lax.reduce_window(image, 0.0, jax.lax.add, (3, 3, 1), (1, 1, 1), "VALID")
    return image.at[1:-1, 1:-1].set((around + 4 * image[1:-1, 1:-1]) / 13)


def shift_hue(image, turn):
    """Move the hue of an RGB image by `turn`, in turns of the colour circle, by way of HSV."""
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
    """Invert what is at least as bright as `threshold`."""
    return jnp.where(image < threshold, image, 1 - image)


def posterize(image, bits):
    """Keep the `bits` highest bits of the 8 of each channel."""
    step = 2.0 ** (8 - bits)
    return (jnp.floor(_levels(image) / step) * step / 255).astype(image.dtype)


def autocontrast(image):
    """Stretch each channel so that its darkest pixel is black and its brightest white."""
    low, high = image.min((0, 1)), image.max((0, 1))
    stretched = (image - low) / jnp.where(high > low, high - low, 1)
    return jnp.where(high > low, stretched, image)


def equalize(image):
    """Make each channel's histogram over 256 levels as flat as a mapping of levels can (Pillow's rule)."""
    levels = _levels(image).astype(jnp.int32).reshape(-1, image.shape[-1])
    channel = jnp.arange(image.shape[-1])
    histogram = jnp.zeros((256, image.shape[-1]), jnp.int32).at[levels, channel].add(1)
    step = (len(levels) - histogram[levels.max(0), channel]) // 255
    below = jnp.cumsum(histogram, 0) - histogram
    table = jnp.minimum((below + step // 2) // jnp.maximum(step, 1), 255)
    table = jnp.where(step > 0, table, jnp.arange(256)[:, None])
    return (table[levels, channel] / jnp.asarray(255, image.dtype)).reshape(image.shape)


def gaussian_blur(image, size: int, sigma):
    """Convolve with a normalised Gaussian of `size` × `size` taps; the image is mirrored at its borders."""
    offsets = jnp.arange(size, dtype=image.dtype) - size // 2
    weights = jnp.exp(-((offsets / sigma) ** 2) / 2)
    weights = weights / weights.sum()
    for axis in (0, 1):
        widths = [(size // 2, size // 2) if axis == other else (0, 0) for other in range(image.ndim)]
        padded = jnp.pad(image, widths, "reflect")
        taps = [jnp.take(padded, jnp.arange(image.shape[axis]) + tap, axis) for tap in range(size)]
        image = sum(weight * tap for weight, tap in zip(weights, taps, strict=True))
    return image


def _levels(image):
    """The nearest of the 256 levels, still as floats."""
    return jnp.clip(jnp.round(image * 255), 0, 255)
