"""Colours against Pillow and torchvision (goldens)."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from data.images import color, filters

GOLDENS = np.load(Path(__file__).parents[2] / "goldens" / "augment.npz")
PICTURE = GOLDENS["picture"]
UNIT = jnp.asarray(PICTURE / np.float32(255))
LEVEL = 1 / 255


def close_to_levels(ours, theirs, levels=0.51):
    np.testing.assert_allclose(ours, np.asarray(theirs) / 255, atol=levels * LEVEL)


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_posterize_is_pillows(bits):
    close_to_levels(color.posterize(UNIT, bits), ImageOps.posterize(Image.fromarray(PICTURE), bits), 0.01)


def test_solarize_is_pillows():
    close_to_levels(color.solarize(UNIT, 0.5), ImageOps.solarize(Image.fromarray(PICTURE), 128), 0.01)


def test_equalize_is_pillows():
    close_to_levels(color.equalize(UNIT), ImageOps.equalize(Image.fromarray(PICTURE)), 0.01)
    flat = np.full((20, 24, 3), 77, np.uint8)
    close_to_levels(color.equalize(jnp.asarray(flat / 255.0)), flat, 0.01)


def test_autocontrast_is_pillows():
    close_to_levels(color.autocontrast(UNIT), ImageOps.autocontrast(Image.fromarray(PICTURE)), 1.01)
    np.testing.assert_array_equal(color.autocontrast(UNIT * 0 + 0.3), np.float32(0.3))


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.7])
@pytest.mark.parametrize("what", ["Brightness", "Contrast", "Color", "Sharpness"])
def test_blends_are_pillows(what, factor):
    grey = color.luminance(UNIT)
    degenerate = {
        "Brightness": jnp.zeros_like(UNIT),
        "Contrast": grey.mean(),
        "Color": grey,
        "Sharpness": filters.smooth(UNIT),
    }[what]
    theirs = getattr(ImageEnhance, what)(Image.fromarray(PICTURE)).enhance(factor)
    close_to_levels(color.blend(degenerate, UNIT, factor), theirs, 1.6)


@pytest.mark.parametrize("turn", [-0.4, 0.1, 0.5])
def test_hue_is_torchvisions(turn):
    np.testing.assert_allclose(color.shift_hue(UNIT, turn), GOLDENS[f"hue_{turn}"], atol=1e-5)


@pytest.mark.parametrize("factor", [0.3, 1.6])
def test_blends_are_torchvisions(factor):
    grey = color.luminance(UNIT)
    for name, degenerate in (("brightness", 0), ("contrast", grey.mean()), ("saturation", grey)):
        ours = color.blend(degenerate, UNIT, factor)
        np.testing.assert_allclose(ours, GOLDENS[f"{name}_{factor}"], atol=2e-4)  # theirs: 0.2989, not 0.299
