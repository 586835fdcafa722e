"""Movements of images and points against Pillow, and against each other."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from data.images.warp import centres, displace, displace_points, displacements, mirrored, rotation, sample, unwarp, warp


def picture():
    return np.random.default_rng(0).integers(0, 256, (14, 11, 3), np.uint8)


@pytest.mark.parametrize("angle", [-75, 13, 160])
def test_warp_rotates_as_pillow(angle):
    image = picture()
    centre, matrix = np.array([5.5, 7.0]), rotation(np.radians(angle))
    for linear, resample in ((True, Image.Resampling.BILINEAR), (False, Image.Resampling.NEAREST)):
        ours = warp(image.astype(np.float32), matrix, centre - matrix @ centre, linear, 0)
        theirs = np.asarray(Image.fromarray(image).rotate(angle, resample))
        assert np.mean(abs(np.asarray(ours) - theirs) > 1.01) <= (0 if linear else 0.03)


def test_warp_is_pillows_affine_transform():
    image = picture()
    coefficients = (0.9, 0.2, -1.3, -0.3, 1.2, 2.1)
    matrix, offset = np.array(coefficients).reshape(2, 3)[:, :2], np.array(coefficients).reshape(2, 3)[:, 2]
    theirs = Image.fromarray(image).transform((11, 14), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
    np.testing.assert_allclose(warp(image.astype(np.float32), matrix, offset, True, 0), theirs, atol=1.01)
    theirs = Image.fromarray(image[..., 0]).transform((11, 14), Image.Transform.AFFINE, coefficients)
    np.testing.assert_array_equal(warp(image[..., 0].astype(np.int32), matrix, offset, False, 0), theirs)


def test_sample_at_the_centres_is_the_field():
    field = jnp.asarray(np.random.default_rng(0).uniform(size=(5, 7, 2)), jnp.float32)
    for linear in (True, False):
        np.testing.assert_allclose(sample(field, *centres(field), linear), field, atol=1e-6)
    half = sample(field, jnp.full((1, 1), 3.0), jnp.full((1, 1), 2.5), True)
    np.testing.assert_allclose(half[0, 0], (field[2, 2] + field[2, 3]) / 2, atol=1e-6)


def test_unwarp_is_the_way_back():
    matrix, offset = rotation(0.3) * 1.4, jnp.array([2.0, -1.5])
    seen = jnp.array([[3.0, 4.0], [0.5, 9.0]])
    shown = unwarp(seen, matrix, offset)
    np.testing.assert_allclose(shown @ matrix.T + offset, seen, atol=1e-5)


def test_points_go_where_displaced_pixels_go():
    coarse = 2 * np.random.default_rng(1).standard_normal((3, 3, 2))
    shift = displacements(jnp.asarray(coarse), (20, 24))
    spot = np.zeros((20, 24), np.float32)
    spot[8:11, 11:14] = 1  # its centre is (12.5, 9.5)
    moved = np.asarray(displace(spot, shift, True))
    columns, rows = centres(moved)
    centre = [(moved * columns).sum() / moved.sum(), (moved * rows).sum() / moved.sum()]
    found = displace_points(jnp.array([12.5, 9.5]), shift)
    assert abs(found - np.array([12.5, 9.5])).max() > 0.3
    np.testing.assert_allclose(found, centre, atol=0.3)


def test_coordinates_are_mirrored_at_both_ends():
    np.testing.assert_allclose(mirrored(np.array([-3.0, 2.0, 12.0, 23.0]), 10), [3, 2, 8, 3])
