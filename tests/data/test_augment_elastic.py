"""Elastic deformation and crops of scenes: masks, instances and weight maps go where their image goes."""

import jax
import numpy as np
import pytest

from data.augment import make_augment
from data.errors import DataError


def blobs(size=8, side=48):
    """Smooth blobs, and the mask where they are bright: what moves alike stays so."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    images = []
    for _ in range(size):
        spots = rng.uniform(8, side - 8, (3, 2))
        images.append(sum(np.exp(-((x - a) ** 2 + (y - b) ** 2) / 60) for a, b in spots).clip(0, 1))
    image = np.stack(images)[..., None].astype(np.float32)
    bright = image[..., 0] > 0.5
    return {
        "image": image,
        "masks": bright.astype(np.int8),
        "instances": bright.astype(np.uint8) * 7,
        "weight_map": image[..., 0] * 3,
        "id": np.arange(size, dtype=np.int32),
    }


@pytest.mark.parametrize("spec", ["elastic(5)", "elastic(sigma=3, grid=4)", "random_crop(32)"])
def test_masks_track_the_image(spec, declared):
    batch = blobs()
    out = jax.jit(make_augment((spec,), declared(batch)))(batch, jax.random.key(0))
    image = np.asarray(out["image"])[..., 0]
    assert abs(image - batch["image"][:, : image.shape[1], : image.shape[2], 0]).max() > 0.2
    clear = abs(image - 0.5) > 0.1  # beside the edge, where nearest and bilinear may differ
    np.testing.assert_array_equal(np.asarray(out["masks"])[clear], (image > 0.5)[clear])
    np.testing.assert_array_equal(out["instances"], 7 * np.asarray(out["masks"]))
    np.testing.assert_allclose(out["weight_map"], 3 * image, atol=1e-5)
    assert out["masks"].dtype == np.int8 and out["instances"].dtype == np.uint8


def test_elastic_displacements_have_the_standard_deviation_and_are_smooth(declared):
    side, size = 60, 400
    y, x = np.mgrid[:side, :side]
    image = np.tile(np.stack([x, y], -1).astype(np.float32) / 100, (size, 1, 1, 1))
    batch = {"image": image, "id": np.arange(size, dtype=np.int32)}
    out = np.asarray(jax.jit(make_augment(("elastic(4.0)",), declared(batch)))(batch, jax.random.key(1))["image"])
    shift = 100 * (out - image)
    assert abs(shift[:, side // 2, side // 2].std() - 4) < 0.4  # at a node of the 3 × 3 grid
    assert abs(shift[:, side // 2, side // 2].mean()) < 0.4
    assert abs(np.diff(shift[:, 10:50, 10:50], axis=2)).max() < 2  # pixels next to each other move alike
    x_shift, y_shift = shift[:, side // 2, side // 2].T
    assert abs(np.corrcoef(x_shift, y_shift)[0, 1]) < 0.2


def test_elastic_of_no_strength_is_nothing_and_its_border_is_mirrored(declared):
    batch = blobs(3)
    out = make_augment(("elastic(0.0)",), declared(batch))(batch, jax.random.key(0))
    np.testing.assert_allclose(out["image"], batch["image"], atol=1e-6)
    far = make_augment(("elastic(60.0)",), declared(batch))(batch, jax.random.key(0))
    assert set(np.unique(far["masks"])) <= {0, 1}  # nothing to ignore, however far


def test_elastic_does_not_depend_on_the_place_in_the_batch(declared):
    batch = blobs()
    augment = make_augment(("elastic", "random_crop(40)"), declared(batch))
    order = np.array([5, 2, 7])
    part = augment({name: x[order] for name, x in batch.items()}, jax.random.key(3))
    whole = augment(batch, jax.random.key(3))
    for name in ("image", "masks"):
        np.testing.assert_array_equal(part[name], np.asarray(whole[name])[order])


def test_random_crop_reaches_every_place(declared):
    y, x = np.mgrid[:6, :7]
    batch = {"image": np.tile(np.stack([y, x], -1), (600, 1, 1, 1)).astype(np.uint8), "id": np.arange(600)}
    out = np.rint(
        np.asarray(make_augment(("random_crop(4)",), declared(batch))(batch, jax.random.key(0))["image"]) * 255
    )
    assert out.shape == (600, 4, 4, 2)
    corners = {tuple(corner) for corner in out[:, 0, 0].astype(int).tolist()}
    assert corners == {(row, column) for row in range(3) for column in range(4)}


def test_a_crop_larger_than_the_image_is_one_clear_line(declared):
    with pytest.raises(DataError, match=r"random_crop\(50\) needs larger images than 48×48"):
        make_augment(("random_crop(50)",), declared(blobs(1)))(blobs(), jax.random.key(0))
