"""From one example to a batch: augmentations are written for a single image and lifted here."""

import jax
import jax.numpy as jnp

from data.errors import DataError

# The fields of a batch that a movement of pixels takes along, each with how it is sampled between pixels and
# what lies outside it: black, no weight, no object, and the label that losses and metrics ignore. Boxes would join.
SAMPLING = {
    "image": {"linear": True, "fill": 0},
    "masks": {"linear": False, "fill": -1},
    "instances": {"linear": False, "fill": 0},
    "weight_map": {"linear": True, "fill": 0},
}


def over_images(change, probability: float = 1.0):
    """Lift `change(image [H, W, C], key) -> image`, applied with `probability`; pixels stay in place."""
    check_range("probability", probability, 0, 1)

    def changed(image, key):
        coin, key = jax.random.split(key)
        return jnp.where(jax.random.bernoulli(coin, probability), change(image, key), image)

    return lambda batch, keys: batch | {"image": jax.vmap(changed)(batch["image"], keys)}


def over_fields(move):
    """Lift `move(field [H, W, ...], key, linear, fill) -> field`: image and masks move by the same draw.

    So a draw may depend on the key alone, never on the type of the field.
    """

    def augment(batch, keys):
        moved = {
            name: jax.vmap(lambda field, key, how=how: move(field, key, **how))(batch[name], keys)
            for name, how in SAMPLING.items()
            if name in batch
        }
        return batch | moved

    return augment


def check_range(name: str, value: float, low: float, high: float = float("inf")):
    """Raise DataError unless low ≤ value ≤ high."""
    if not low <= value <= high:
        bounds = f"at least {low}" if high == float("inf") else f"between {low} and {high}"
        raise DataError(f"{name} is {value}, but must be {bounds}")
