"""Movements of pixels against plain numpy and Pillow."""

import jax
import numpy as np
import pytest

from data.augment import make_augment

SHAPE = (9, 7, 3)


def batch_of(size, seed=0, shape=SHAPE):
    image = np.random.default_rng(seed).integers(0, 256, (size, *shape), np.uint8)
    return {"image": image, "id": np.arange(size, dtype=np.int32)}


def ramp(size, height=9, width=7):
    """Every pixel says where it was: red its row, green its column; and its mask says both."""
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows + 1, columns + 1, 0 * rows], -1).astype(np.uint8)
    return {
        "image": np.tile(image, (size, 1, 1, 1)),
        "masks": np.tile(rows * width + columns, (size, 1, 1)).astype(np.int32),
        "id": np.arange(size, dtype=np.int32),
    }


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
def test_pad_crop_is_numpy_pad_and_slice(mode):
    batch = batch_of(64)
    out = jax.jit(make_augment((f"pad_crop(2, mode={mode!r})",), None))(batch, jax.random.key(0))["image"]
    out = np.rint(np.asarray(out) * 255)
    padded = np.pad(batch["image"], [(0, 0), (2, 2), (2, 2), (0, 0)], mode)
    corners = []
    for index, image in enumerate(out):
        found = [
            (row, column)
            for row in range(5)
            for column in range(5)
            if (padded[index, row : row + 9, column : column + 7] == image).all()
        ]
        assert len(found) == 1
        corners += found
    assert len(set(corners)) > 15


def test_pad_crop_offsets_are_uniform():
    size = 4000
    out = jax.jit(make_augment(("pad_crop(2)",), None))(ramp(size), jax.random.key(1))
    centre = np.rint(np.asarray(out["image"])[:, 4, 3, :2] * 255).astype(int)
    counts = np.zeros((5, 5))
    np.add.at(counts, (centre[:, 0] - 3, centre[:, 1] - 2), 1)
    expected = size / 25
    assert ((counts - expected) ** 2 / expected).sum() < 52  # χ² with 24 degrees: 99.9 % lie below 51.2


def test_flip_mirrors_half_of_the_images_and_twice_is_nothing():
    batch = batch_of(400)
    unit = np.asarray(make_augment((), None)(batch, jax.random.key(0))["image"])
    out = np.asarray(make_augment(("flip",), None)(batch, jax.random.key(0))["image"])
    flipped = (out == unit[:, :, ::-1]).all((1, 2, 3))
    same = (out == unit).all((1, 2, 3))
    assert (flipped ^ same).all() and 160 < flipped.sum() < 240
    twice = make_augment(("flip(1.0)", "flip(1.0)"), None)(batch, jax.random.key(0))["image"]
    np.testing.assert_array_equal(twice, unit)


@pytest.mark.parametrize("spec", ["pad_crop(3)", "pad_crop(3, mode='reflect')", "flip"])
def test_masks_move_with_their_image(spec):
    out = jax.jit(make_augment((spec,), None))(ramp(16), jax.random.key(2))
    image = np.rint(np.asarray(out["image"]) * 255).astype(int)
    masks = np.asarray(out["masks"])
    assert masks.dtype == np.int32
    inside = image[..., 0] > 0
    np.testing.assert_array_equal(inside, masks >= 0)
    np.testing.assert_array_equal(masks[inside], ((image[..., 0] - 1) * 7 + image[..., 1] - 1)[inside])
