"""Policies that draw an operation and its magnitude for each example: RandAugment and its kin (Cubuk et al. 2020).

Each example draws its own operations. A branch per operation would run all fifteen on every example (that is
what `lax.switch` becomes under `vmap`), so one layer is written as one movement (the identity for most
examples), one blend (brightness, color, contrast and sharpness differ only in what they blend with) and five
cheap changes of tone. Its cost is that of one bilinear resampling and one histogram a layer, whatever is drawn:
about 10 ms a layer for 128 images of 32 × 32 on two CPU cores.

Ranges and policies are torchvision's; outside the image is black (ignored in masks). Fields move as in
data/augment/lift.py; each group of unpaired examples draws its own operations.
"""

import jax
import jax.numpy as jnp
import numpy as np

from data.augment.geometric import affine_movement
from data.augment.lift import check_movable, group_keys, moved, picture_size
from data.errors import DataError
from data.fields import by_group, of_kind
from data.images import color, filters
from data.images.warp import rotation, warp
from data.specs import check_range

OPERATIONS = (
    "identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "color",
    "contrast", "sharpness", "posterize", "solarize", "autocontrast", "equalize", "invert",
)  # fmt: skip
SIGNED = slice(1, 10)  # those whose value may be negative
DRAWN = len(OPERATIONS) - 1  # RandAugment and TrivialAugment do not invert


def rand_augment(n: int = 2, m: int = 9, *, info):
    """Apply `n` of the 14 operations one after another, each with magnitude `m` of 30, signed at random.

    Cubuk, Zoph, Shlens, Le, "RandAugment", NeurIPS 2020.
    """
    check_range("n", n, 1)
    check_range("m", m, 0, 30)

    def draw(key, size):
        which, way = jax.random.split(key)
        choice = jax.random.randint(which, (), 0, DRAWN)
        return choice, jnp.asarray(magnitudes(m / 30, size))[choice] * _sign(way, choice)

    return _layers(lambda key, layer, size: draw(jax.random.fold_in(key, layer), size), n, info)


def trivial_augment(*, info):
    """Apply one of the 14 operations with a magnitude drawn from a wide range of 31 steps, signed at random.

    Müller & Hutter, "TrivialAugment", ICCV 2021: the wide space of table 1.
    """

    def draw(key, _, size):
        which, strength, way = jax.random.split(key, 3)
        choice = jax.random.randint(which, (), 0, DRAWN)
        table = jnp.asarray(np.stack([wide_magnitudes(step / 30) for step in range(31)]))
        return choice, table[jax.random.randint(strength, (), 0, 31), choice] * _sign(way, choice)

    return _layers(draw, 1, info)


def auto_augment(policy: str = "imagenet", *, info):
    """Apply one of the 25 pairs of operations that were found for a data set, each with its probability and magnitude.

    Cubuk, Zoph, Mane, Vasudevan, Le, "AutoAugment", CVPR 2019, appendix. `policy`: "imagenet", "cifar10" or "svhn".
    """
    if policy not in POLICIES:
        raise DataError(f"auto_augment({policy!r}): the policies are {', '.join(POLICIES)}")
    choices, probabilities, steps = (np.array(x) for x in parsed(POLICIES[policy]))

    def draw(key, layer, size):
        # The pair is the same in both layers; the rest is drawn for each.
        pair = jax.random.randint(jax.random.fold_in(key, 2), (), 0, len(choices))
        happens, way = jax.random.split(jax.random.fold_in(key, layer))
        choice, step = jnp.asarray(choices)[pair, layer], jnp.asarray(steps)[pair, layer]
        table = jnp.asarray(np.stack([magnitudes(k / 9, size) for k in range(10)]))
        kept = jax.random.bernoulli(happens, jnp.asarray(probabilities, jnp.float32)[pair, layer])
        return jnp.where(kept, choice, 0), table[step, choice] * _sign(way, choice)

    return _layers(draw, 2, info)


def _sign(key, choice):
    signed = np.zeros(len(OPERATIONS), bool)
    signed[SIGNED] = True
    return jnp.where(jnp.asarray(signed)[choice] & ~jax.random.bernoulli(key), -1.0, 1.0)


def magnitudes(strength: float, size: tuple[int, int]) -> np.ndarray:
    """The value of each of OPERATIONS at `strength` in [0, 1], for a picture of `size` (H, W).

    Tangents of shears, pixels of translations, degrees of rotations, factors less 1 of blends, bits that posterize
    keeps, the threshold of solarize in [0, 1]. 0 for operations without a value.
    """
    shifts = [int(150 / 331 * side * strength) for side in reversed(size)]
    blends, bits = [0.9 * strength] * 4, 8 - round(4 * strength)
    values = [0, 0.3 * strength, 0.3 * strength, *shifts, 30 * strength, *blends, bits, 1 - strength, 0, 0, 0]
    return np.array(values, np.float32)


def wide_magnitudes(strength: float) -> np.ndarray:
    """As `magnitudes`, of TrivialAugment's wide space, whose translations do not depend on the picture's size."""
    sheared, shift, bits = 0.99 * strength, int(32 * strength), 8 - round(6 * strength)
    values = [0, sheared, sheared, shift, shift, 135 * strength, *[sheared] * 4, bits, 1 - strength, 0, 0, 0]
    return np.array(values, np.float32)


def _layers(draw, count, info):
    """The augmentation that applies draw(key, layer, size) -> (operation, value), `count` times one after another."""
    movement = affine_movement(None)  # drawn below, together with the changes of tone
    check_movable(movement, info)

    def layer(fields, batch, keys, number):
        size = picture_size(batch, fields)
        choice, value = jax.vmap(lambda key: draw(key, number, size))(keys)
        drawn = jax.vmap(lambda *drawn: matrix(*drawn, size))(choice, value)
        batch = batch | moved(movement, fields, batch, drawn)
        tone = jax.vmap(recolor)
        return batch | {name: tone(batch[name], choice, value) for name in of_kind(fields, "image")}

    def augment(batch, keys):
        for group, fields in by_group(info.fields).items():
            own = {name: jnp.asarray(batch[name]) for name in fields if name in batch}
            if not picture_size(own, fields):
                continue
            own_fields, own_keys = {name: fields[name] for name in own}, group_keys(keys, group)
            # A scan and not a Python loop: XLA would fuse one layer's resampling into the next and compute it twice.
            body = lambda own, number: (layer(own_fields, own, own_keys, number), None)  # noqa: B023
            own, _ = jax.lax.scan(body, own, jnp.arange(count))
            batch = batch | own
        return batch

    return augment


def move(field, choice, value, linear, fill):
    """The five movements of `field` [H, W, ...] by `value`; any other choice leaves it as it is."""
    return warp(field, *matrix(choice, value, field.shape[:2]), linear, fill)


def matrix(choice, value, size):
    """(matrix [2, 2], offset [2]) of the movement, for `warp`, of a picture of `size` (H, W)."""
    height, width = size

    def amount(name):
        return jnp.where(choice == OPERATIONS.index(name), value, 0.0)

    turned = rotation(jnp.radians(amount("rotate")))
    sheared = jnp.array([[0.0, amount("shear_x")], [amount("shear_y"), 0.0]])
    shift = jnp.array([amount("translate_x"), amount("translate_y")])
    centre = jnp.array([width / 2, height / 2])
    # about the centre for a rotation, about the corner for a shear
    return turned + sheared, centre - turned @ centre - shift


def recolor(image, choice, value):
    """The nine changes of tone of `image` [H, W, C] by `value`; any other choice leaves it as it is."""

    def chosen(*names):
        return [choice == OPERATIONS.index(name) for name in names]

    grey = jnp.broadcast_to(color.luminance(image), image.shape)
    degenerate = jnp.select(
        chosen("brightness", "color", "contrast", "sharpness"),
        [jnp.zeros_like(image), grey, jnp.full_like(image, grey.mean()), filters.smooth(image)],
        image,
    )
    value = jnp.asarray(value, image.dtype)
    return jnp.select(
        chosen("posterize", "solarize", "autocontrast", "equalize", "invert"),
        [
            color.posterize(image, jnp.clip(value, 1, 8)),  # the value may be that of another operation
            color.solarize(image, value),
            color.autocontrast(image),
            color.equalize(image),
            1 - image,
        ],
        color.blend(degenerate, image, 1 + value),
    )


def parsed(policy: str):
    """(operations, probabilities, steps) of a policy, [25, 2] each. A step is a magnitude from 0 to 9."""
    rows = [[part.split() for part in line.split(",")] for line in policy.strip().splitlines()]
    choices = [[OPERATIONS.index(part[0]) for part in row] for row in rows]
    probabilities = [[float(part[1]) for part in row] for row in rows]
    return choices, probabilities, [[int(part[2]) if len(part) > 2 else 0 for part in row] for row in rows]


# Pairs of operations, each with its probability and, if it has one, its step.
POLICIES = {
    "imagenet": """
posterize 0.4 8, rotate 0.6 9
solarize 0.6 5, autocontrast 0.6
equalize 0.8, equalize 0.6
posterize 0.6 7, posterize 0.6 6
equalize 0.4, solarize 0.2 4
equalize 0.4, rotate 0.8 8
solarize 0.6 3, equalize 0.6
posterize 0.8 5, equalize 1.0
rotate 0.2 3, solarize 0.6 8
equalize 0.6, posterize 0.4 6
rotate 0.8 8, color 0.4 0
rotate 0.4 9, equalize 0.6
equalize 0.0, equalize 0.8
invert 0.6, equalize 1.0
color 0.6 4, contrast 1.0 8
rotate 0.8 8, color 1.0 2
color 0.8 8, solarize 0.8 7
sharpness 0.4 7, invert 0.6
shear_x 0.6 5, equalize 1.0
color 0.4 0, equalize 0.6
equalize 0.4, solarize 0.2 4
solarize 0.6 5, autocontrast 0.6
invert 0.6, equalize 1.0
color 0.6 4, contrast 1.0 8
equalize 0.8, equalize 0.6
""",
    "cifar10": """
invert 0.1, contrast 0.2 6
rotate 0.7 2, translate_x 0.3 9
sharpness 0.8 1, sharpness 0.9 3
shear_y 0.5 8, translate_y 0.7 9
autocontrast 0.5, equalize 0.9
shear_y 0.2 7, posterize 0.3 7
color 0.4 3, brightness 0.6 7
sharpness 0.3 9, brightness 0.7 9
equalize 0.6, equalize 0.5
contrast 0.6 7, sharpness 0.6 5
color 0.7 7, translate_x 0.5 8
equalize 0.3, autocontrast 0.4
translate_y 0.4 3, sharpness 0.2 6
brightness 0.9 6, color 0.2 8
solarize 0.5 2, invert 0.0
equalize 0.2, autocontrast 0.6
equalize 0.2, equalize 0.6
color 0.9 9, equalize 0.6
autocontrast 0.8, solarize 0.2 8
brightness 0.1 3, color 0.7 0
solarize 0.4 5, autocontrast 0.9
translate_y 0.9 9, translate_y 0.7 9
autocontrast 0.9, solarize 0.8 3
equalize 0.8, invert 0.1
translate_y 0.7 9, autocontrast 0.9
""",
    "svhn": """
shear_x 0.9 4, invert 0.2
shear_y 0.9 8, invert 0.7
equalize 0.6, solarize 0.6 6
invert 0.9, equalize 0.6
equalize 0.6, rotate 0.9 3
shear_x 0.9 4, autocontrast 0.8
shear_y 0.9 8, invert 0.4
shear_y 0.9 5, solarize 0.2 6
invert 0.9, autocontrast 0.8
equalize 0.6, rotate 0.9 3
shear_x 0.9 4, solarize 0.3 3
shear_y 0.8 8, invert 0.7
equalize 0.9, translate_y 0.6 6
invert 0.9, equalize 0.6
contrast 0.3 3, rotate 0.8 4
invert 0.8, translate_y 0.0 2
shear_y 0.7 6, solarize 0.4 8
invert 0.6, rotate 0.8 4
shear_y 0.3 7, translate_x 0.9 3
shear_x 0.1 6, invert 0.6
solarize 0.7 2, translate_y 0.6 7
shear_y 0.8 4, invert 0.8
shear_x 0.7 9, translate_y 0.8 3
shear_y 0.8 5, autocontrast 0.7
shear_x 0.7 2, invert 0.1
""",
}
