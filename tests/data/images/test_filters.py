"""Filters against torchvision and OpenCV (goldens); Pillow's smoothing is in test_color.py, as its sharpness."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from data.images import filters

GOLDENS = np.load(Path(__file__).parents[2] / "goldens" / "augment.npz")
PICTURE = GOLDENS["picture"]
UNIT = jnp.asarray(PICTURE / np.float32(255))


def test_blur_is_torchvisions_and_opencvs():
    np.testing.assert_allclose(filters.gaussian_blur(UNIT, 5, 1.3), GOLDENS["blur_torchvision"], atol=1e-6)
    np.testing.assert_allclose(filters.gaussian_blur(UNIT, 7, 0.8), GOLDENS["blur_opencv"], atol=1e-6)
