"""What holds for every augmentation: specifications, keys, types; and the scaling that follows."""

import subprocess
import sys

import jax
import numpy as np
import pytest

from data.augment import AUGMENTATIONS, make_augment, make_prepare
from data.errors import DataError
from data.source import labelled_images

INFO = labelled_images(("a", "b"), (24, 16, 3), (0.5, 0.4, 0.3), (0.2, 0.25, 0.5))


def photos(batch=6, shape=(24, 16, 3), seed=0, **fields):
    image = np.random.default_rng(seed).integers(0, 256, (batch, *shape), np.uint8)
    return {
        "image": image,
        "label": np.arange(batch) % 2,
        "id": np.arange(batch, dtype=np.int32) + 10,
        **fields,
    }


@pytest.mark.parametrize(
    "spec, message",
    [
        ("pad_crp(4)", "did you mean 'pad_crop'"),
        ("pad_crop(4, moed='edge')", "did you mean 'mode'"),
        ("pad_crop", "missing a required argument: 'pad'"),
        ("pad_crop(4, 'edge', 3)", "too many positional"),
        ("pad_crop('4')", "pad takes int"),
        ("pad_crop(-1)", "pad is -1, but must be at least 0"),
        ("pad_crop(4, mode='wrap')", "not 'wrap'"),
        ("flip(True)", "probability takes float"),
        ("flip(1.5)", "between 0 and 1"),
        ("pad_crop(__import__('os').getpid())", "not of the form"),
        ("pad_crop(*[4])", "not of the form"),
        ("pad_crop(**{'pad': 4})", "not of the form"),
        ("a.b(4)", "not of the form"),
        ("flip(", "not of the form"),
        ("flip(info=3)", "no argument of flip 'info'"),
    ],
)
def test_a_wrong_specification_is_one_clear_line(spec, message):
    with pytest.raises(DataError, match=message.replace("(", r"\(")) as raised:
        make_augment((spec,), INFO)
    assert "\n" not in str(raised.value)


def test_listing_names_does_not_import_jax():
    code = "import sys; from data.augment import AUGMENTATIONS; assert AUGMENTATIONS; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_augmentation_images_only_become_floats():
    batch = photos()
    out = make_augment((), INFO)(batch, jax.random.key(0))
    np.testing.assert_allclose(out["image"], batch["image"] / np.float32(255), atol=1e-7)
    assert out.keys() == batch.keys()


def test_prepare_scales():
    batch = photos()
    unit = batch["image"] / np.float32(255)
    np.testing.assert_allclose(
        make_prepare(INFO)(batch)["image"], (unit - np.float32(INFO.mean)) / np.float32(INFO.std), atol=1e-6
    )
    np.testing.assert_allclose(make_prepare(INFO, "unit")(batch)["image"], unit, atol=1e-7)
    symmetric = make_prepare(INFO, "symmetric")(batch)["image"]
    np.testing.assert_allclose(symmetric, 2 * unit - 1, atol=1e-6)
    with pytest.raises(DataError, match="did you mean 'standardise'"):
        make_prepare(INFO, "standardize")


def test_prepare_after_augment_equals_prepare_alone_when_nothing_moves():
    batch = photos()
    prepare = make_prepare(INFO)
    augmented = prepare(make_augment(("flip(0.0)", "pad_crop(0)"), INFO)(batch, jax.random.key(0)))
    np.testing.assert_array_equal(augmented["image"], prepare(batch)["image"])


# One specification of each, strong enough to change the image nearly always.
EVERY = {
    "pad_crop": "pad_crop(4, mode='reflect')",
    "flip": "flip",
    "rotate": "rotate(30)",
    "affine": "affine(10, translate=0.2, scale=(0.8, 1.2), shear=10)",
    "color_jitter": "color_jitter(0.4, 0.4, 0.4, 0.1)",
    "grayscale": "grayscale",
    "pca_color": "pca_color",
    "gaussian_blur": "gaussian_blur(5)",
    "solarize": "solarize",
    "posterize": "posterize",
    "equalize": "equalize",
    "autocontrast": "autocontrast",
    "cutout": "cutout(6)",
    "random_erasing": "random_erasing",
    "rand_augment": "rand_augment(2, 15)",
    "trivial_augment": "trivial_augment",
    "auto_augment": "auto_augment",
    "mixup": "mixup(0.5)",
    "cutmix": "cutmix",
    "mixup_or_cutmix": "mixup_or_cutmix",
    "elastic": "elastic",
    "binarise": "binarise",
}
# One changes the size, the other less than a grey level: each has tests of its own.
APART = {"random_crop", "dequantise"}


def test_every_augmentation_is_tested():
    assert EVERY.keys() | APART == AUGMENTATIONS.keys()


@pytest.mark.parametrize("spec", EVERY.values(), ids=EVERY.keys())
def test_every_augmentation(spec):
    """In range, finite, and decided by key and id alone, whatever the division into devices."""
    augment = jax.jit(make_augment((spec,), INFO))
    batch = photos(batch=8)
    key = jax.random.key(3)
    out = augment(batch, key)
    image = np.asarray(out["image"])
    assert image.shape == batch["image"].shape and image.dtype == np.float32
    assert np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1
    assert abs(image - batch["image"] / np.float32(255)).max() > 0.01

    halves = [augment({k: v[part] for k, v in batch.items()}, key) for part in (slice(0, 4), slice(4, 8))]
    for name in out:
        np.testing.assert_allclose(out[name], np.concatenate([half[name] for half in halves]), atol=1e-6)
    assert (np.asarray(augment(batch, jax.random.key(4))["image"]) != image).any()
    other = augment(batch | {"id": batch["id"] + 100}, key)
    assert (np.asarray(other["image"]) != image).any()


@pytest.mark.parametrize("spec", EVERY.values(), ids=EVERY.keys())
def test_float64_stays_float64_and_float32_stays_float32(spec):
    with jax.enable_x64(True):
        for dtype in ("float32", "float64"):
            augment, prepare = make_augment((spec,), INFO, dtype), make_prepare(INFO, dtype=dtype)
            out = jax.eval_shape(lambda *given: prepare(augment(*given)), photos(), jax.random.key(0))  # noqa: B023
            assert out["image"].dtype == dtype
            assert "mix" not in out or out["mix"].dtype == dtype
