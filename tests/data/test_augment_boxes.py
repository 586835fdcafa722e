"""One draw moves every kind: the box of the augmented mask is the augmented box, and points and labels go along."""

import dataclasses

import jax
import numpy as np
import pytest

from data import open_source
from data.augment import AUGMENTATIONS, make_augment
from data.augment.lift import opposite
from data.errors import DataError
from data.fields import Field
from data.geometry import boxes_of_mask
from data.pipeline import first_batch
from data.source import Info

SIDE, COUNT = 64, 4
FIELDS = {
    "image": Field("image", (SIDE, SIDE, 3), "uint8"),
    "instances": Field("mask", (SIDE, SIDE), "uint8", fill=0),
    "depth": Field("map", (SIDE, SIDE), "float32"),
    "boxes": Field("boxes", (COUNT, 4), "float32"),
    "labels": Field("labels", (COUNT,), "int32", ("a", "b"), of="boxes"),
    "points": Field("points", (COUNT, 1, 3), "float32", of="boxes"),
    "label": Field("label", (), "int32", ("x", "y")),
    "tokens": Field("tokens", (5,), "int32"),
    "angle": Field("number", (2,), "float32"),
}
INFO = Info(FIELDS, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
OF_MASK = dataclasses.replace(INFO, fields={**FIELDS, "boxes": Field("boxes", (COUNT, 4), "float32", of="instances")})


def rectangles(size=48):
    """Three bright rectangles in each picture, in cells of their own, and a fourth object that is not there."""
    rng = np.random.default_rng(0)
    batch = {name: np.zeros((size, *field.shape), field.dtype) for name, field in FIELDS.items()}
    batch["labels"][:] = -1
    for i in range(size):
        for j, (top, left) in enumerate([(0, 0), (0, 32), (32, 8)]):
            y1, x1 = top + rng.integers(1, 10), left + rng.integers(1, 10)
            y2, x2 = y1 + rng.integers(6, 20), x1 + rng.integers(6, 20)
            batch["instances"][i, y1:y2, x1:x2] = 1 + j
            batch["image"][i, y1:y2, x1:x2] = 60 * (1 + j)
            batch["boxes"][i, j] = x1, y1, x2, y2
            batch["labels"][i, j] = j % 2
            batch["points"][i, j, 0] = (x1 + x2) / 2, (y1 + y2) / 2, 2
    batch["depth"][:] = batch["image"][..., 0] / 255
    batch["label"], batch["tokens"] = np.arange(size, dtype=np.int32) % 2, rng.integers(0, 9, (size, 5), np.int32)
    batch["angle"] = rng.normal(size=(size, 2)).astype(np.float32)
    return {**batch, "id": np.arange(size, dtype=np.int32)}


def run(spec, info=INFO, seed=0):
    out = jax.jit(make_augment((spec,), info))(rectangles(), jax.random.key(seed))
    return {name: np.asarray(x) for name, x in out.items()}


def of_masks(out):
    """[B, N, 4] of the augmented masks."""
    return np.stack([boxes_of_mask(mask, COUNT) for mask in out["instances"]])


def thin(boxes):
    return (boxes[..., 2:] - boxes[..., :2]).min(-1) <= 1


EXACT = ["flip(1.0)", "flip", "random_crop(40)", "pad_crop(12)", "affine(translate=0.3, scale=(0.6, 1.6))"]
TURNED = [
    "rotate(40)",
    "affine(20, translate=0.1, scale=(0.8, 1.2), shear=15)",
    "rand_augment(2, 20)",
    "trivial_augment",
    "auto_augment('svhn')",
]
BENT = ["elastic(3.0)", "pad_crop(12, mode='reflect')", "pad_crop(12, mode='edge')"]


def test_every_augmentation_that_moves_pixels_is_tested():
    moving = {name for name, target in AUGMENTATIONS.items() if "geometric" in target or "rand_augment" in target}
    assert {spec.partition("(")[0] for spec in EXACT + TURNED + BENT} == moving


@pytest.mark.parametrize("spec", EXACT)
def test_the_box_of_the_augmented_mask_is_the_augmented_box_within_a_pixel(spec):
    out = run(spec)
    true, found = of_masks(out), out["boxes"]
    there, near = true[..., 2] > 0, (found[..., 2] > 0) & ~thin(found)
    assert there.sum() > 60 and (there | ~near).all()
    np.testing.assert_allclose(found[there], true[there], atol=1.0)


@pytest.mark.parametrize("spec", TURNED)
def test_under_a_turn_the_augmented_box_encloses_that_of_the_mask_and_is_it_away_from_the_border(spec):
    out = run(spec)
    true, found = of_masks(out), out["boxes"]
    there = true[..., 2] > 0
    assert there.sum() > 60
    assert (found[there][:, :2] <= true[there][:, :2] + 1).all() and (
        found[there][:, 2:] >= true[there][:, 2:] - 1
    ).all()
    inside = there & (found[..., :2] > 0).all(-1) & (found[..., 2:] < SIDE).all(-1)
    assert inside.sum() > 20
    # A corner that is cut off by the pixel grid may cost two pixels of a sharp angle.
    np.testing.assert_allclose(found[inside], true[inside], atol=2.0)
    assert abs(found[inside] - true[inside]).mean() < 0.6


@pytest.mark.parametrize("spec", EXACT + TURNED + BENT)
def test_with_the_mask_of_their_objects_boxes_are_exactly_those_of_the_augmented_mask(spec):
    out = run(spec, OF_MASK)
    true = of_masks(out)
    np.testing.assert_array_equal(out["boxes"], true)
    assert (true[..., 2] > 0).sum() > 60
    np.testing.assert_array_equal(out["labels"] >= 0, true[..., 2] > 0)


@pytest.mark.parametrize("spec", EXACT + TURNED + BENT)
def test_an_object_that_left_the_picture_has_no_box_label_or_point(spec):
    before, out = rectangles(), run(spec, OF_MASK)
    gone = (out["boxes"] == 0).all(-1)
    assert gone[:, 3].all()  # the padding
    if spec in ("random_crop(40)", "affine(translate=0.3, scale=(0.6, 1.6))"):
        assert gone[:, :3].any()
    assert (out["labels"][gone] == -1).all() and (out["points"][gone] == 0).all()
    np.testing.assert_array_equal(out["labels"][~gone], before["labels"][~gone])


@pytest.mark.parametrize("spec", [*EXACT, *TURNED, "elastic(3.0)"])
def test_points_stay_on_their_object(spec):
    out = run(spec, OF_MASK)
    visibility = out["points"][..., 0, 2]
    assert ((visibility == 2) | (visibility == 0)).all()
    height, width = out["instances"].shape[1:]
    image, which = np.nonzero(visibility == 2)
    assert len(image) > 40
    places = out["points"][image, which, 0]
    assert (places[:, :2] >= 0).all() and (places[:, 0] <= width).all() and (places[:, 1] <= height).all()
    columns = np.minimum(places[:, 0].astype(int), width - 1)
    rows = np.minimum(places[:, 1].astype(int), height - 1)
    assert (out["instances"][image, rows, columns] == which + 1).mean() > 0.98


@pytest.mark.parametrize("spec", [*EXACT, *TURNED, "elastic(3.0)"])
def test_pixels_of_every_kind_move_alike_and_the_rest_stays(spec):
    before, out = rectangles(), run(spec, OF_MASK)
    if "augment" not in spec:  # those also change colours
        np.testing.assert_allclose(out["depth"], out["image"][..., 0], atol=1e-5)
        clear = abs(out["image"][..., 0] * 255 - 60 * out["instances"].astype(float)) < 1
        assert clear.mean() > 0.9
    for name in ("label", "tokens", "angle", "id"):
        np.testing.assert_array_equal(out[name], before[name])
    for name in before:
        assert out[name].dtype == (np.float32 if name == "image" else before[name].dtype)


@pytest.mark.parametrize("spec", BENT)
def test_boxes_that_cannot_be_moved_are_an_error_when_the_augmentation_is_built(spec):
    with pytest.raises(DataError, match="cannot move 'boxes': these boxes have no mask") as error:
        make_augment((spec,), INFO)
    assert "\n" not in str(error.value)


def test_pixels_of_two_sizes_are_an_error_when_the_augmentation_is_built():
    small = dataclasses.replace(INFO, fields={**FIELDS, "target": Field("image", (32, 32, 3), "uint8")})
    for spec in ("flip", "rand_augment"):
        with pytest.raises(DataError, match=r"one size only, these are image 64×64, .*target 32×32"):
            make_augment((spec,), small)


def test_the_augmented_box_of_a_scene_is_where_its_object_is():
    source = open_source("scenes", "train", num_train=24, num_validation=1, num_test=1)
    batch = first_batch(source, 24)
    for spec in ("flip(1.0)", "elastic(4.0)", "rotate(30)", "random_crop(48)", "rand_augment(2, 15)"):
        out = jax.jit(make_augment((spec,), source.info))(batch, jax.random.key(1))
        out = {name: np.asarray(x) for name, x in out.items()}
        true = np.stack([boxes_of_mask(mask, 5) for mask in out["instances"]])
        np.testing.assert_array_equal(out["boxes"], true)
        assert (out["boxes"] != batch["boxes"]).any((1, 2)).mean() > 0.3


def test_left_and_right_change_places_in_the_mirror():
    names = ("nose", "left eye", "right eye", "left ear")
    assert opposite(names) == [0, 2, 1, 3]
    fields = {
        "image": Field("image", (8, 10, 1), "uint8"),
        "points": Field("points", (1, 4, 3), "float32", names),
    }
    points = np.array([[[[5, 1, 2], [2, 3, 2], [7, 3, 1], [0, 0, 0]]]], np.float32)
    batch = {"image": np.zeros((1, 8, 10, 1), np.uint8), "points": points, "id": np.zeros(1, np.int32)}
    out = make_augment(("flip(1.0)",), Info(fields, (0.5,), (0.5,)))(batch, jax.random.key(0))
    np.testing.assert_array_equal(out["points"][0, 0], [[5, 1, 2], [3, 3, 1], [8, 3, 2], [0, 0, 0]])


def test_every_image_of_an_example_changes_by_one_draw_and_unpaired_groups_by_their_own():
    fields = {
        "image": Field("image", (16, 16, 3), "uint8"),
        "target": Field("image", (16, 16, 3), "uint8"),
        "other": Field("image", (16, 16, 3), "uint8", group="other"),
    }
    info = Info(fields, (0.5,) * 3, (0.2,) * 3)
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), np.uint8)
    batch = dict.fromkeys(fields, image) | {"id": np.arange(16, dtype=np.int32)}
    for spec in ("flip", "pad_crop(3)", "color_jitter(0.4)", "cutout(6)", "rand_augment"):
        out = make_augment((spec,), info)(batch, jax.random.key(0))
        np.testing.assert_array_equal(out["target"], out["image"])
        assert (np.asarray(out["other"]) != out["image"]).any((1, 2, 3)).sum() > 3


def test_two_uses_of_an_example_in_a_batch_are_varied_differently():
    batch = {name: np.repeat(x[:1], 8, 0) for name, x in rectangles().items()}
    augment = make_augment(("pad_crop(12)",), INFO)
    same = np.asarray(augment(batch, jax.random.key(0))["image"])
    assert (same == same[0]).all()
    out = np.asarray(augment({**batch, "use": np.arange(8, dtype=np.int32)}, jax.random.key(0))["image"])
    assert len({image.tobytes() for image in out}) > 4
