"""Augmentation of decoded images, on the device, inside the train step.

A page lists what it wants in order, `augment=("pad_crop(4)", "flip", "cutout(16)")`. On the device a batch
goes

    training    uint8 → augment (float in [0, 1]) → prepare (scaled for the model)
    evaluation  uint8 → prepare

Noise is drawn per example from its global index (`batch["id"]`), so it does not depend on how a batch is
divided among devices.
"""

import ast
import inspect
import typing
from collections.abc import Callable
from importlib import import_module

from data.errors import DataError, unknown

# name -> "module:function". A function takes the arguments of the specification, and the keyword `info`
# where it needs to know the data; it returns `augment(batch, keys) -> batch` for float images in [0, 1], one
# key per example.
AUGMENTATIONS = {
    "pad_crop": "data.augment.geometric:pad_crop",
    "random_crop": "data.augment.geometric:random_crop",
    "flip": "data.augment.geometric:flip",
    "rotate": "data.augment.geometric:rotate",
    "affine": "data.augment.geometric:affine",
    "elastic": "data.augment.geometric:elastic",
    "color_jitter": "data.augment.color:color_jitter",
    "grayscale": "data.augment.color:grayscale",
    "pca_color": "data.augment.color:pca_color",
    "gaussian_blur": "data.augment.color:gaussian_blur",
    "solarize": "data.augment.color:solarize",
    "posterize": "data.augment.color:posterize",
    "equalize": "data.augment.color:equalize",
    "autocontrast": "data.augment.color:autocontrast",
    "cutout": "data.augment.erase:cutout",
    "random_erasing": "data.augment.erase:random_erasing",
    "rand_augment": "data.augment.rand_augment:rand_augment",
    "binarise": "data.augment.noise:binarise",
    "dequantise": "data.augment.noise:dequantise",
    "mixup": "data.augment.mix:mixup",
    "cutmix": "data.augment.mix:cutmix",
    "mixup_or_cutmix": "data.augment.mix:mixup_or_cutmix",
}

SCALES = ("standardise", "unit", "symmetric")


def make_augment(specs: tuple[str, ...], info, dtype: str = "float32") -> Callable:
    """Turn specifications such as `"pad_crop(4)"` into one function `augment(batch, key) -> batch`.

    `batch["image"]` [B, H, W, C] is uint8, or float in [0, 1]; it comes back as `dtype` in [0, 1].
    `batch["masks"]` [B, H, W] int, where present, moves with its image; mixup and cutmix add `label_mix` [B]
    int and `mix` [B] float, the weight of the own label. `batch["id"]` [B] and `key` decide every draw.
    Raises DataError for an unknown name or an unsuitable argument.
    """
    import jax

    stages = [_build(spec, info) for spec in specs]

    def augment(batch, key):
        batch = batch | {"image": _to_float(batch["image"], dtype)}
        example_keys = jax.vmap(jax.random.fold_in, (None, 0))(key, batch["id"])
        for position, stage in enumerate(stages):
            batch = stage(batch, jax.vmap(jax.random.fold_in, (0, None))(example_keys, position))
        return batch

    return augment


def make_prepare(info, scale: str = "standardise", dtype: str = "float32") -> Callable:
    """The last step before a model: `prepare(batch) -> batch`, images [B, H, W, C] uint8 or float in [0, 1].

    `scale` is "standardise" (subtract `info.mean`, divide by `info.std`), "unit" ([0, 1]) or "symmetric"
    ([-1, 1]); images come back as `dtype`.
    """
    mean, std = _scaling(info, scale, dtype)

    def prepare(batch):
        return batch | {"image": (_to_float(batch["image"], dtype) - mean) / std}

    return prepare


def make_restore(info, scale: str = "standardise") -> Callable:
    """The way back, for pictures of what a model makes: `restore(images)`, [..., H, W, C] -> in [0, 1] as data are."""
    mean, std = _scaling(info, scale, "float32")
    return lambda images: images * std + mean


def _scaling(info, scale: str, dtype: str):
    """What `prepare` subtracts, and what it divides by."""
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
    """Pixels as floats in [0, 1]; what is float is in that range already."""
    import jax.numpy as jnp

    image = jnp.asarray(image)
    return image.astype(dtype) / (255 if jnp.issubdtype(image.dtype, jnp.integer) else 1)


def _build(spec: str, info) -> Callable:
    name, args, kwargs = _parse(spec)
    if name not in AUGMENTATIONS:
        raise unknown("augmentation", name, AUGMENTATIONS)
    module, function = AUGMENTATIONS[name].split(":")
    factory = getattr(import_module(module), function)

    parameters = dict(inspect.signature(factory).parameters)
    supplied = {"info": info} if parameters.pop("info", None) else {}
    for key in kwargs:
        if key not in parameters:
            raise unknown(f"argument of {name}", key, parameters)
    try:
        bound = inspect.Signature(list(parameters.values())).bind(*args, **kwargs)
    except TypeError as error:
        usage = ", ".join(str(parameter) for parameter in parameters.values())
        raise DataError(f"augmentation {spec!r}: {error}; it is {name}({usage})") from None
    hints = typing.get_type_hints(factory)
    for key, value in bound.arguments.items():
        wanted = typing.get_origin(hints[key]) or hints[key]
        # an int will do for a float; a bool is neither
        fits = isinstance(value, (int, float) if wanted is float else wanted)
        if not fits or (isinstance(value, bool) and wanted is not bool):
            raise DataError(f"augmentation {spec!r}: {key} takes {wanted.__name__}, not {value!r}")
    try:
        return factory(*bound.args, **bound.kwargs, **supplied)
    except DataError as error:
        raise DataError(f"augmentation {spec!r}: {error}") from None


def _parse(spec: str) -> tuple[str, list, dict]:
    """`"cutout(16, probability=0.5)"` -> ("cutout", [16], {"probability": 0.5}); nothing is evaluated."""
    try:
        tree = ast.parse(spec.strip(), mode="eval").body
        call = tree if isinstance(tree, ast.Call) else ast.Call(tree, [], [])
        args = [ast.literal_eval(value) for value in call.args]
        kwargs = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
        if not isinstance(call.func, ast.Name) or None in kwargs:
            raise ValueError
    except (SyntaxError, ValueError, AttributeError, TypeError):
        raise DataError(f"augmentation {spec!r} is not of the form name(value, key=value)") from None
    return call.func.id, args, kwargs
