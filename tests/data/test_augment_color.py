"""How strongly colours are drawn; what is done to them is tested in images/."""

from pathlib import Path

import jax
import numpy as np
import pytest

from data.augment import make_augment
from data.augment.color import IMAGENET_COVARIANCE
from data.errors import DataError
from data.source import labelled_images

GOLDENS = np.load(Path(__file__).parents[1] / "goldens" / "augment.npz")
PICTURE = GOLDENS["picture"]
INFO = labelled_images(("a", "b"), (20, 24, 3), (0.5, 0.4, 0.3), (0.2, 0.25, 0.5))


def copies(size, image):
    return {"image": np.stack([image] * size), "id": np.arange(size, dtype=np.int32)}


def run(spec, batch, seed=0):
    out = jax.jit(make_augment((spec,), INFO))(batch, jax.random.key(seed))
    return {name: np.asarray(value) for name, value in out.items()}


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
