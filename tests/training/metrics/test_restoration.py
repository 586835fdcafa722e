"""PSNR and SSIM against scikit-image (a golden)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.goldens.make_restoration import SHAPES, pair
from tests.goldens.record import HERE
from training.errors import TrainingError
from training.metrics.restoration import METRICS, psnr, ssim

GOLDEN = np.load(HERE / "restoration.npz")


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("measure", [psnr, ssim])
def test_they_are_scikit_images(measure, name):
    found = jax.jit(measure)(*pair(name))
    np.testing.assert_allclose(found, GOLDEN[f"{name}/{measure.__name__}"], rtol=2e-5)
    assert (np.diff(found) < 0).all()  # the noise grows


@pytest.mark.parametrize("name", SHAPES)
def test_they_depend_on_the_range_alone(name):
    x, y = pair(name)
    for measure in (psnr, ssim):
        np.testing.assert_allclose(measure(255 * x, 255 * y, 255.0), measure(x, y), rtol=1e-4)


def test_an_image_is_like_itself():
    x, _ = pair("colour")
    np.testing.assert_allclose(ssim(x, x), 1, rtol=1e-6)
    assert np.isposinf(psnr(x, x)).all()


def test_images_smaller_than_the_window_are_refused():
    with pytest.raises(TrainingError, match="11×11 or more, these are 24×10"):
        ssim(jnp.zeros((1, 24, 10, 1)), jnp.zeros((1, 24, 10, 1)))


def test_more_is_better_and_psnr_is_in_decibels():
    found = {name: metric.readings[name] for name, metric in METRICS.items()}
    assert {name: (reading.better, reading.unit) for name, reading in found.items()} == {
        "psnr": ("max", "dB"),
        "ssim": ("max", ""),
    }
