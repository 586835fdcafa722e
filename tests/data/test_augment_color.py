"""Colours against Pillow, torchvision and OpenCV (goldens), and how strongly they are drawn."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from data.augment import make_augment, pixels
from data.augment.color import IMAGENET_COVARIANCE
from data.errors import DataError
from data.source import labelled_images

GOLDENS = np.load(Path(__file__).parents[1] / "goldens" / "augment.npz")
PICTURE = GOLDENS["picture"]
UNIT = jnp.asarray(PICTURE / np.float32(255))
INFO = labelled_images(("a", "b"), (20, 24, 3), (0.5, 0.4, 0.3), (0.2, 0.25, 0.5))
LEVEL = 1 / 255


def copies(size, image):
    return {"image": np.stack([image] * size), "id": np.arange(size, dtype=np.int32)}


def run(spec, batch, seed=0):
    out = jax.jit(make_augment((spec,), INFO))(batch, jax.random.key(seed))
    return {name: np.asarray(value) for name, value in out.items()}


def close_to_levels(ours, theirs, levels=0.51):
    np.testing.assert_allclose(ours, np.asarray(theirs) / 255, atol=levels * LEVEL)


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_posterize_is_pillows(bits):
    close_to_levels(pixels.posterize(UNIT, bits), ImageOps.posterize(Image.fromarray(PICTURE), bits), 0.01)


def test_solarize_is_pillows():
    close_to_levels(pixels.solarize(UNIT, 0.5), ImageOps.solarize(Image.fromarray(PICTURE), 128), 0.01)


def test_equalize_is_pillows():
    close_to_levels(pixels.equalize(UNIT), ImageOps.equalize(Image.fromarray(PICTURE)), 0.01)
    flat = np.full((20, 24, 3), 77, np.uint8)
    close_to_levels(pixels.equalize(jnp.asarray(flat / 255.0)), flat, 0.01)


def test_autocontrast_is_pillows():
    close_to_levels(pixels.autocontrast(UNIT), ImageOps.autocontrast(Image.fromarray(PICTURE)), 1.01)
    np.testing.assert_array_equal(pixels.autocontrast(UNIT * 0 + 0.3), np.float32(0.3))


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.7])
@pytest.mark.parametrize("what", ["Brightness", "Contrast", "Color", "Sharpness"])
def test_blends_are_pillows(what, factor):
    grey = pixels.luminance(UNIT)
    degenerate = {
        "Brightness": jnp.zeros_like(UNIT),
        "Contrast": grey.mean(),
        "Color": grey,
        "Sharpness": pixels.smooth(UNIT),
    }[what]
    theirs = getattr(ImageEnhance, what)(Image.fromarray(PICTURE)).enhance(factor)
    close_to_levels(pixels.blend(degenerate, UNIT, factor), theirs, 1.6)


@pytest.mark.parametrize("turn", [-0.4, 0.1, 0.5])
def test_hue_is_torchvisions(turn):
    np.testing.assert_allclose(pixels.shift_hue(UNIT, turn), GOLDENS[f"hue_{turn}"], atol=1e-5)


@pytest.mark.parametrize("factor", [0.3, 1.6])
def test_blends_are_torchvisions(factor):
    grey = pixels.luminance(UNIT)
    for name, degenerate in (("brightness", 0), ("contrast", grey.mean()), ("saturation", grey)):
        ours = pixels.blend(degenerate, UNIT, factor)
        np.testing.assert_allclose(ours, GOLDENS[f"{name}_{factor}"], atol=2e-4)  # theirs: 0.2989, not 0.299


def test_blur_is_torchvisions_and_opencvs():
    np.testing.assert_allclose(pixels.gaussian_blur(UNIT, 5, 1.3), GOLDENS["blur_torchvision"], atol=1e-6)
    np.testing.assert_allclose(pixels.gaussian_blur(UNIT, 7, 0.8), GOLDENS["blur_opencv"], atol=1e-6)


def test_pca_color_shifts_along_the_eigenvectors():
    middle = np.full((20, 24, 3), 127, np.uint8)
    out = run("pca_color(0.1)", copies(4000, middle[:2, :2]))["image"] - np.float32(127 / 255)
    np.testing.assert_allclose(out, np.broadcast_to(out[:, :1, :1], out.shape), atol=1e-6)  # one draw an image
    values, vectors = np.linalg.eigh(np.asarray(IMAGENET_COVARIANCE))
    along = out[:, 0, 0] @ vectors
    np.testing.assert_allclose(along.std(0), 0.1 * values, rtol=0.1)
    np.testing.assert_allclose(values, (0.0045, 0.0188, 0.2175), atol=2e-5)


def test_color_jitter_draws_the_factor_uniformly():
    out = run("color_jitter(0.5)", copies(2000, np.full((1, 1, 3), 100, np.uint8)))["image"][:, 0, 0, 0]
    factor = out * 255 / 100
    assert factor.min() > 0.499 and factor.max() < 1.501
    np.testing.assert_allclose(np.histogram(factor, 5, (0.5, 1.5))[0], 400, atol=80)


def test_probability():
    out = run("grayscale(0.25)", copies(800, PICTURE[:2, :2]))["image"]
    grey = (out[..., 0] == out[..., 1]).all((1, 2))
    assert 150 < grey.sum() < 250


@pytest.mark.parametrize("spec", ["pca_color", "color_jitter(hue=0.1)"])
def test_colour_of_grey_images_is_refused(spec):
    with pytest.raises(DataError, match=r"needs RGB images, but these have 1 channel"):
        make_augment((spec,), labelled_images(("a", "b"), (20, 24, 1), (0.5,), (0.2,)))
