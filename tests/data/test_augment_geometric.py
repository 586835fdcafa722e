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
def test_pad_crop_is_numpy_pad_and_slice(mode, declared):
    batch = batch_of(64)
    out = jax.jit(make_augment((f"pad_crop(2, mode={mode!r})",), declared(batch)))(batch, jax.random.key(0))["image"]
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


def test_pad_crop_offsets_are_uniform(declared):
    size = 4000
    out = jax.jit(make_augment(("pad_crop(2)",), declared(ramp(1))))(ramp(size), jax.random.key(1))
    centre = np.rint(np.asarray(out["image"])[:, 4, 3, :2] * 255).astype(int)
    counts = np.zeros((5, 5))
    np.add.at(counts, (centre[:, 0] - 3, centre[:, 1] - 2), 1)
    expected = size / 25
    assert ((counts - expected) ** 2 / expected).sum() < 52  # χ² with 24 degrees: 99.9 % lie below 51.2


def test_flip_mirrors_half_of_the_images_and_twice_is_nothing(declared):
    batch = batch_of(400)
    unit = np.asarray(make_augment((), declared(batch))(batch, jax.random.key(0))["image"])
    out = np.asarray(make_augment(("flip",), declared(batch))(batch, jax.random.key(0))["image"])
    flipped = (out == unit[:, :, ::-1]).all((1, 2, 3))
    same = (out == unit).all((1, 2, 3))
    assert (flipped ^ same).all() and 160 < flipped.sum() < 240
    twice = make_augment(("flip(1.0)", "flip(1.0)"), declared(batch))(batch, jax.random.key(0))["image"]
    np.testing.assert_array_equal(twice, unit)


@pytest.mark.parametrize("spec", ["pad_crop(3)", "pad_crop(3, mode='reflect')", "flip"])
def test_masks_move_with_their_image(spec, declared):
    out = jax.jit(make_augment((spec,), declared(ramp(1))))(ramp(16), jax.random.key(2))
    image = np.rint(np.asarray(out["image"]) * 255).astype(int)
    masks = np.asarray(out["masks"])
    assert masks.dtype == np.int32
    inside = image[..., 0] > 0
    np.testing.assert_array_equal(inside, masks >= 0)
    np.testing.assert_array_equal(masks[inside], ((image[..., 0] - 1) * 7 + image[..., 1] - 1)[inside])


def test_rotation_angles_fill_the_interval_and_masks_follow(declared):
    batch = ramp(300, 21, 21)
    batch["image"] = batch["image"] * 10
    out = jax.jit(make_augment(("rotate(20)",), declared(batch)))(batch, jax.random.key(0))
    image, masks = np.asarray(out["image"]) * 25.5, np.asarray(out["masks"])
    # along the middle row the source row changes by -sin of the angle per pixel
    angles = np.degrees(np.arcsin((image[:, 10, 15, 0] - image[:, 10, 5, 0]) / 10))
    assert -20.5 < angles.min() < -18 and 18 < angles.max() < 20.5 and abs(angles.mean()) < 2
    inside = masks >= 0
    np.testing.assert_array_equal(inside, image[..., 0] > 0)
    rows, columns = masks // 21, masks % 21
    assert abs(image[..., 0] - 1 - rows)[inside].max() < 0.51
    assert abs(image[..., 1] - 1 - columns)[inside].max() < 0.51


def test_affine_enlarges_and_shifts(declared):
    batch = ramp(50, 21, 21)
    batch["image"] = batch["image"] * 10
    image = np.asarray(make_augment(("affine(scale=(2.0, 2.0))",), declared(batch))(batch, jax.random.key(0))["image"])
    np.testing.assert_allclose((image[:, 14, 10] - image[:, 6, 10])[:, 0] * 25.5, 4, atol=1e-3)
    np.testing.assert_allclose(image[:, 10, 10, :2] * 25.5, 11, atol=1e-3)
    image = np.asarray(make_augment(("affine(translate=0.2)",), declared(batch))(batch, jax.random.key(0))["image"])
    shift = 11 - image[:, 10, 10, :2] * 25.5
    assert abs(shift).max() <= 4.21 and shift.std() > 1.5
