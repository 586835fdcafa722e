"""RandAugment: a few operations drawn uniformly, all of one magnitude (Cubuk et al. 2020).

Each example draws its own operations. A branch per operation would run all fourteen on every example (that is
what `lax.switch` becomes under `vmap`), so one layer is written as one movement (the identity for most
examples), one blend (brightness, color, contrast and sharpness differ only in what they blend with) and four
cheap changes of tone. Its cost is that of one bilinear resampling and one histogram a layer, whatever is drawn:
about 10 ms a layer for 128 images of 32 × 32 on two CPU cores.
"""

import jax
import jax.numpy as jnp

from data.augment import pixels
from data.augment.geometric import rotation, warp
from data.augment.lift import SAMPLING, check_range

OPERATIONS = (
    "identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "color",
    "contrast", "sharpness", "posterize", "solarize", "autocontrast", "equalize",
)  # fmt: skip


def rand_augment(n: int = 2, m: int = 9):
    """Apply `n` of the 14 operations one after another, each with magnitude `m` of 30, signed at random.

    The ranges are torchvision's; outside the image is black (ignored in masks).
    """
    check_range("n", n, 1)
    check_range("m", m, 0, 30)

    def layer(fields, keys):
        choice, sign = jax.vmap(_draw)(keys)
        moved = {
            name: jax.vmap(lambda field, *drawn, how=SAMPLING[name]: move(field, *drawn, m / 30, **how))(
                field, choice, sign
            )
            for name, field in fields.items()
        }
        return moved | {"image": jax.vmap(recolor, (0, 0, 0, None))(moved["image"], choice, sign, m / 30)}

    def augment(batch, keys):
        layer_keys = jax.vmap(jax.vmap(jax.random.fold_in, (0, None)), (None, 0))(keys, jnp.arange(n))
        fields = {name: jnp.asarray(batch[name]) for name in SAMPLING if name in batch}
        # a scan and not a Python loop: XLA would fuse one layer's resampling into the next and compute it anew
        fields, _ = jax.lax.scan(lambda fields, keys: (layer(fields, keys), None), fields, layer_keys)
        return batch | fields

    return augment


def _draw(key):
    """Which of OPERATIONS, and with which sign."""
    which, way = jax.random.split(key)
    choice = jax.random.randint(which, (), 0, len(OPERATIONS))
    return choice, jnp.where(jax.random.bernoulli(way), 1.0, -1.0)


def move(field, choice, sign, strength, linear, fill):
    """The five movements of `field` [H, W, ...] at `strength` in [0, 1]; any other choice leaves it as it is."""
    height, width = field.shape[:2]

    def amount(name, most):
        return jnp.where(choice == OPERATIONS.index(name), sign * most, 0.0)

    turned = rotation(amount("rotate", jnp.radians(30 * strength)))
    sheared = jnp.array([[0.0, amount("shear_x", 0.3 * strength)], [amount("shear_y", 0.3 * strength), 0.0]])
    shift = jnp.array(
        [
            amount("translate_x", int(150 / 331 * width * strength)),
            amount("translate_y", int(150 / 331 * height * strength)),
        ]
    )
    centre = jnp.array([width / 2, height / 2])
    # about the centre for a rotation, about the corner for a shear
    return warp(field, turned + sheared, centre - turned @ centre - shift, linear, fill)


def recolor(image, choice, sign, strength):
    """The eight changes of tone of `image` [H, W, C] at `strength` in [0, 1]; any other choice leaves it as it is."""

    def chosen(*names):
        return [choice == OPERATIONS.index(name) for name in names]

    grey = jnp.broadcast_to(pixels.luminance(image), image.shape)
    degenerate = jnp.select(
        chosen("brightness", "color", "contrast", "sharpness"),
        [jnp.zeros_like(image), grey, jnp.full_like(image, grey.mean()), pixels.smooth(image)],
        image,
    )
    factor = jnp.asarray(1 + 0.9 * strength * sign, image.dtype)
    return jnp.select(
        chosen("posterize", "solarize", "autocontrast", "equalize"),
        [
            pixels.posterize(image, 8 - round(4 * strength)),
            pixels.solarize(image, 1 - strength),
            pixels.autocontrast(image),
            pixels.equalize(image),
        ],
        pixels.blend(degenerate, image, factor),
    )
