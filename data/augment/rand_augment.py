"""RandAugment: a few operations drawn uniformly, all of one magnitude (Cubuk et al. 2020).

Each example draws its own operations. A branch per operation would run all fourteen on every example (that is
what `lax.switch` becomes under `vmap`), so one layer is written as one movement (the identity for most
examples), one blend (brightness, color, contrast and sharpness differ only in what they blend with) and four
cheap changes of tone. Its cost is that of one bilinear resampling and one histogram a layer, whatever is drawn:
about 10 ms a layer for 128 images of 32 × 32 on two CPU cores.
"""

import jax
import jax.numpy as jnp

from data.augment.geometric import affine_movement
from data.augment.lift import check_movable, group_keys, moved, picture_size
from data.fields import by_group, of_kind
from data.images import color, filters
from data.images.warp import rotation, warp
from data.specs import check_range

OPERATIONS = (
    "identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "color",
    "contrast", "sharpness", "posterize", "solarize", "autocontrast", "equalize",
)  # fmt: skip


def rand_augment(n: int = 2, m: int = 9, *, info):
    """Apply `n` of the 14 operations one after another, each with magnitude `m` of 30, signed at random.

    The ranges are torchvision's; outside the image is black (ignored in masks). Fields move as data/augment/lift.py
    says; each group of unpaired examples draws its own operations.
    """
    check_range("n", n, 1)
    check_range("m", m, 0, 30)
    movement = affine_movement(None)  # drawn below, together with the changes of tone
    check_movable(movement, info)

    def layer(fields, batch, keys):
        choice, sign = jax.vmap(_draw)(keys)
        size = picture_size(batch, fields)
        drawn = jax.vmap(lambda *drawn: matrix(*drawn, m / 30, size))(choice, sign)
        batch = batch | moved(movement, fields, batch, drawn)
        tone = jax.vmap(recolor, (0, 0, 0, None))
        return batch | {name: tone(batch[name], choice, sign, m / 30) for name in of_kind(fields, "image")}

    def augment(batch, keys):
        for group, fields in by_group(info.fields).items():
            own = {name: jnp.asarray(batch[name]) for name in fields if name in batch}
            if not picture_size(own, fields):
                continue
            own_fields = {name: fields[name] for name in own}
            layer_keys = jax.vmap(jax.vmap(jax.random.fold_in, (0, None)), (None, 0))(
                group_keys(keys, group), jnp.arange(n)
            )
            # A scan and not a Python loop: XLA would fuse one layer's resampling into the next and compute it twice.
            own, _ = jax.lax.scan(lambda own, keys: (layer(own_fields, own, keys), None), own, layer_keys)  # noqa: B023
            batch = batch | own
        return batch

    return augment


def _draw(key):
    """Which of OPERATIONS, and with which sign."""
    which, way = jax.random.split(key)
    choice = jax.random.randint(which, (), 0, len(OPERATIONS))
    return choice, jnp.where(jax.random.bernoulli(way), 1.0, -1.0)


def move(field, choice, sign, strength, linear, fill):
    """The five movements of `field` [H, W, ...] at `strength` in [0, 1]; any other choice leaves it as it is."""
    return warp(field, *matrix(choice, sign, strength, field.shape[:2]), linear, fill)


def matrix(choice, sign, strength, size):
    """(matrix [2, 2], offset [2]) of the movement, for `warp`, of a picture of `size` (H, W)."""
    height, width = size

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
    return turned + sheared, centre - turned @ centre - shift


def recolor(image, choice, sign, strength):
    """The eight changes of tone of `image` [H, W, C] at `strength` in [0, 1]; any other choice leaves it as it is."""

    def chosen(*names):
        return [choice == OPERATIONS.index(name) for name in names]

    grey = jnp.broadcast_to(color.luminance(image), image.shape)
    degenerate = jnp.select(
        chosen("brightness", "color", "contrast", "sharpness"),
        [jnp.zeros_like(image), grey, jnp.full_like(image, grey.mean()), filters.smooth(image)],
        image,
    )
    factor = jnp.asarray(1 + 0.9 * strength * sign, image.dtype)
    return jnp.select(
        chosen("posterize", "solarize", "autocontrast", "equalize"),
        [
            color.posterize(image, 8 - round(4 * strength)),
            color.solarize(image, 1 - strength),
            color.autocontrast(image),
            color.equalize(image),
        ],
        color.blend(degenerate, image, factor),
    )
