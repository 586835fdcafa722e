"""What is hidden or mixed, against its definition."""

import dataclasses

import jax
import numpy as np
import pytest

from data.augment import make_augment
from data.errors import DataError
from data.fields import Field
from data.source import labelled_images

INFO = labelled_images(("a", "b"), (20, 24, 3), (0.5, 0.4, 0.3), (0.2, 0.25, 0.5))


def copies(size, image):
    return {"image": np.stack([image] * size), "id": np.arange(size, dtype=np.int32)}


def run(spec, batch, seed=0):
    out = jax.jit(make_augment((spec,), INFO))(batch, jax.random.key(seed))
    return {name: np.asarray(value) for name, value in out.items()}


def test_cutout_covers_a_square_about_a_uniform_pixel_with_the_mean():
    white = np.full((20, 24, 3), 255, np.uint8)
    out = run("cutout(6)", copies(3000, white))["image"]
    hidden = (out != 1).all(-1)
    np.testing.assert_allclose(out[hidden], np.broadcast_to(np.float32(INFO.mean), out[hidden].shape))
    heights, widths = hidden.any(2).sum(1), hidden.any(1).sum(1)
    np.testing.assert_array_equal(hidden.sum((1, 2)), heights * widths)  # a rectangle
    assert heights.max() == widths.max() == 6 and heights.min() == widths.min() == 3  # cut by the border
    # a pixel three or more from every border is hidden by 36 of the 480 centres
    assert abs(hidden[:, 3:-3, 3:-3].mean() - 36 / 480) < 0.005


def test_random_erasing_covers_the_drawn_area():
    grey = np.full((32, 32, 3), 77, np.uint8)
    out = run("random_erasing(1.0, area=(0.1, 0.2), fill='mean')", copies(200, grey))["image"]
    share = (out[..., 0] == 0.5).mean((1, 2))
    assert share.min() > 0.08 and share.max() < 0.22 and abs(share.mean() - 0.15) < 0.01
    noise = run("random_erasing(1.0)", copies(200, grey))["image"]
    changed = noise[abs(noise - np.float32(77 / 255)) > 1e-6]
    assert abs(changed.mean() - 0.5) < 0.01 and abs(changed.std() - 12**-0.5) < 0.01


def pairs(size):
    """Image i is of brightness i + 1 all over and of class i."""
    image = np.arange(1, size + 1, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    return {"image": image, "id": np.arange(size, dtype=np.int32), "label": np.arange(size, dtype=np.int32)}


@pytest.mark.parametrize("spec", ["mixup(0.7)", "cutmix", "mixup_or_cutmix"])
def test_mixing_weighs_labels_as_it_weighs_pixels(spec):
    out = run(spec, pairs(200))
    np.testing.assert_array_equal(out["label"], np.arange(200))
    np.testing.assert_array_equal(out["label_mix"], np.arange(200) ^ 1)
    own = out["mix"]
    assert own.dtype == np.float32 and own.min() >= 0 and own.max() <= 1 and own.std() > 0.15
    expected = own * (out["label"] + 1) + (1 - own) * (out["label_mix"] + 1)
    np.testing.assert_allclose(out["image"].mean((1, 2, 3)) * 255, expected, atol=1e-3)
    whole = np.isclose(out["image"] * 255, np.rint(out["image"] * 255), atol=1e-4).all((1, 2, 3))
    assert {"mixup(0.7)": whole.sum() < 20, "cutmix": whole.all()}.get(spec, 60 < whole.sum() < 140)


def test_mixup_draws_from_beta():
    own = run("mixup(0.2)", pairs(250))["mix"]
    assert abs(own.mean() - 0.5) < 0.1 and abs(own.var() - 0.25 / 1.4) < 0.04


def test_the_last_of_an_odd_batch_is_its_own_partner():
    out = run("mixup", pairs(3))
    np.testing.assert_array_equal(out["label_mix"], [1, 0, 2])
    np.testing.assert_allclose(out["image"][2] * 255, 3, rtol=1e-5)


def test_mixing_twice_is_refused():
    with pytest.raises(DataError, match="list one of them"):
        make_augment(("mixup", "cutmix"), INFO)(pairs(2), jax.random.key(0))


@pytest.mark.parametrize("spec", ["mixup", "cutmix", "mixup_or_cutmix"])
def test_mixing_refuses_what_it_cannot_join_when_it_is_built(spec):
    boxes = {"boxes": Field("boxes", (3, 4), "float32"), "labels": Field("labels", (3,), "int32", of="boxes")}
    extra = {
        "masks": {"masks": Field("mask", (20, 24), "int8", ("a", "b"))},
        "boxes": boxes,
        "target": {"target": Field("image", (20, 24, 3), "uint8")},
        "tokens": {"tokens": Field("tokens", (5,), "int32")},
    }
    for name, fields in extra.items():
        with pytest.raises(DataError, match=f"it joins an image and a label .*{name}"):
            make_augment((spec,), dataclasses.replace(INFO, fields={**INFO.fields, **fields}))
    with pytest.raises(DataError, match="an image and a label"):
        make_augment((spec,), dataclasses.replace(INFO, fields={"image": INFO.fields["image"]}))
