"""Augmentation of decoded images, on the device, inside the train step.

A page lists augmentations in order, `augment=("pad_crop(4)", "flip", "cutout(16)")`. On the device a batch goes

    training    uint8 → augment (float in [0, 1]) → prepare (scaled for the model)
    evaluation  uint8 → prepare

Each field is treated by its kind (see data/fields.py). Noise is drawn for each use of an example from its global index
(`batch["id"]`) and the number of the use (`batch["use"]`), not from how a batch is divided among devices.
"""

from collections.abc import Callable

from data.augment.table import AUGMENTATIONS
from data.errors import DataError, unknown
from data.fields import of_kind
from data.specs import build_spec, parse_spec

SCALES = ("standardise", "unit", "symmetric")


def make_augment(specs: tuple[str, ...], info, dtype: str = "float32") -> Callable:
    """Turn specifications such as `"pad_crop(4)"` into one function `augment(batch, key) -> batch`.

    A name in AUGMENTATIONS leads to a function of the specification's arguments and the keyword `info`; it returns
    `augment(batch, keys) -> batch` for float images in [0, 1], one key per example.

    Images [B, H, W, C] are uint8, or float in [0, 1]; they come back as `dtype` in [0, 1]. Every field moves with its
    image as its kind says; mixup and cutmix add `label_mix` [B] int and `mix` [B] float, the weight of the own label.
    `key`, `batch["id"]` [B] and, in training, `batch["use"]` [B] decide every draw.
    Raises DataError for an unknown name, an unsuitable argument, or a field that an augmentation cannot treat.
    """
    import jax

    stages = [build_spec(spec, AUGMENTATIONS, "augmentation", {"info": info}) for spec in specs]
    images = of_kind(info.fields, "image")

    def augment(batch, key):
        batch = batch | {name: _to_float(batch[name], dtype) for name in images if name in batch}
        example_keys = jax.vmap(jax.random.fold_in, (None, 0))(key, batch["id"])
        if "use" in batch:
            example_keys = jax.vmap(jax.random.fold_in)(example_keys, batch["use"])
        for position, stage in enumerate(stages):
            batch = stage(batch, jax.vmap(jax.random.fold_in, (0, None))(example_keys, position))
        return batch

    return augment


def moves_pixels(spec: str) -> bool:
    """Whether an augmentation moves pixels, and boxes and points with them. Raises DataError for an unknown name."""
    name, _, _ = parse_spec(spec, "augmentation")
    if name not in AUGMENTATIONS:
        raise unknown("augmentation", name, AUGMENTATIONS)
    return AUGMENTATIONS[name].startswith(("data.augment.geometric:", "data.augment.rand_augment:"))


def make_prepare(info, scale: str = "standardise", dtype: str = "float32") -> Callable:
    """The last step before a model: `prepare(batch) -> batch`, images [B, H, W, C] uint8 or float in [0, 1].

    `scale` is "standardise" (subtract `info.mean`, divide by `info.std`), "unit" ([0, 1]) or "symmetric"
    ([-1, 1]); every field of kind image is scaled so and comes back as `dtype`. Raises DataError for an unknown scale,
    and where an image to standardise has another number of channels than `info.mean`.
    """
    mean, std = _scaling(info, scale, dtype)
    images = of_kind(info.fields, "image")
    for name, field in images.items():
        if scale == "standardise" and field.shape[-1] != len(info.mean):
            raise DataError(
                f"data.scale='standardise' has the mean of {len(info.mean)} channel(s), but {name!r} has"
                f" {field.shape[-1]}: write 'unit' or 'symmetric'"
            )

    def prepare(batch):
        return batch | {name: (_to_float(batch[name], dtype) - mean) / std for name in images if name in batch}

    return prepare


def make_restore(info, scale: str = "standardise") -> Callable:
    """The inverse, for pictures that a model makes: `restore(images)`, [..., H, W, C] -> in [0, 1] as data are."""
    mean, std = _scaling(info, scale, "float32")
    return lambda images: images * std + mean


def _scaling(info, scale: str, dtype: str):
    """(subtrahend, divisor) of `prepare`."""
    import numpy as np

    if scale not in SCALES:
        raise unknown("scale", scale, SCALES)
    mean, std = {
        "standardise": (info.mean, info.std),
        "unit": (0.0, 1.0),
        "symmetric": (0.5, 0.5),
    }[scale]
    return np.asarray(mean, dtype), np.asarray(std, dtype)


def _to_float(image, dtype: str):
    """Pixels as floats in [0, 1]; floats are in that range already."""
    import jax.numpy as jnp

    image = jnp.asarray(image)
    return image.astype(dtype) / (255 if jnp.issubdtype(image.dtype, jnp.integer) else 1)


__all__ = ["AUGMENTATIONS", "SCALES", "make_augment", "make_prepare", "make_restore"]
