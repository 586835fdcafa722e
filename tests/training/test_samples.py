"""Grids, paths through codes, and the film."""

import numpy as np
import scipy.stats
from PIL import Image

from training import samples


def test_grid():
    images = np.linspace(0, 1, 5).reshape(5, 1, 1, 1) * np.ones((5, 28, 28, 1))
    picture = samples.grid(images, columns=3)
    assert picture.shape == (2 * 58 + 2, 3 * 58 + 2, 3) and picture.dtype == np.uint8  # enlarged to 56, 2 apart
    assert picture[2 + 28, 2 + 28, 0] == 0 and picture[2 + 58 + 28, 2 + 58 + 28, 0] == 255
    assert samples.grid(np.full((1, 64, 64, 3), 2.0)).max() == 255  # clipped


def test_scatter():
    assert samples.scatter(np.zeros((5, 2)), np.ones((5, 2))).shape[-1] == 3


def test_plane_has_equal_steps_of_probability():
    codes = samples.plane(4, 6).reshape(4, 4, 6)
    np.testing.assert_allclose(scipy.stats.norm.cdf(codes[0, :, 0]), [0.125, 0.375, 0.625, 0.875])
    np.testing.assert_allclose(codes[:, 0, 1], -codes[0, :, 0])
    assert not codes[..., 2:].any()


def test_interpolations_keep_to_the_sphere():
    codes = samples.interpolations(2, 7, 100, seed=0).reshape(2, 7, 100)
    length = np.linalg.norm(codes, axis=-1)
    assert length.min() > 8  # a straight line would come down to 7
    ends = samples.interpolations(2, 2, 100, seed=0).reshape(2, 2, 100)
    np.testing.assert_allclose(codes[:, [0, -1]], ends, atol=1e-5)
    step = np.linalg.norm(np.diff(codes, axis=1), axis=-1)
    np.testing.assert_allclose(step, step.mean(1, keepdims=True) * np.ones(6), rtol=0.2)


def test_film(tmp_path):
    for step in (10, 2):
        Image.fromarray(np.full((8, 8, 3), 20 * step, np.uint8)).save(tmp_path / f"step_{step:08d}.png")
    samples.film(tmp_path, tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 2
        assert film.convert("RGB").getpixel((0, 0))[0] < 60  # in the order of the steps
