"""RoIAlign and RoIPool: values and gradients are torchvision's, and each region reads the map of its level."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.detection.faster_rcnn import FasterRCNN
from models.detection.yolo import TinyDarknet
from models.layers.roi import pyramid_align, pyramid_levels, roi_align, roi_pool
from tests.models.parity import golden

POOLS = {
    "align": lambda x, regions: roi_align(x, regions, 3, 0.25),
    "aligned": lambda x, regions: roi_align(x, regions, 3, 0.25, aligned=True),
    "pool": lambda x, regions: roi_pool(x, regions, 3, 0.25),
}


@pytest.mark.parametrize("name", POOLS)
def test_values_and_gradients_are_those_of_torchvision(name):
    stored = golden("detection")
    with jax.enable_x64(True):
        x, towards = (np.moveaxis(stored[key], 1, -1) for key in ("map", "towards"))
        pooled, back = jax.vjp(lambda x: POOLS[name](x, stored["regions"]), jnp.asarray(x[0]))
        np.testing.assert_allclose(pooled, np.moveaxis(stored[name], 1, -1), rtol=1e-9, atol=1e-12)
        gradient = np.moveaxis(stored[f"{name}_gradient"], 1, -1)[0]
        np.testing.assert_allclose(back(jnp.asarray(towards))[0], gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("aligned", "expected"), [(True, [[4.5, 6], [12, 13.5]]), (False, [[7.5, 9], [15, 16.5]])])
def test_half_a_pixel_lies_between_the_two_conventions(aligned, expected):
    x = jnp.arange(25.0).reshape(5, 5, 1)
    pooled = roi_align(x, jnp.array([[0.5, 0.5, 3.5, 3.5]]), 2, 1.0, aligned=aligned)
    np.testing.assert_allclose(pooled[0, ..., 0], expected, rtol=1e-6)


def test_levels_are_those_of_the_areas():
    side = jnp.array([10.0, 111.9, 112, 223.9, 224, 448, 5000, 0])
    regions = jnp.stack([0 * side, 0 * side, side, side], 1)
    np.testing.assert_array_equal(pyramid_levels(regions, 2, 5), [2, 2, 3, 3, 4, 5, 5, 2])


def test_each_region_reads_the_map_of_its_level():
    rng = np.random.default_rng(0)
    maps = [jnp.asarray(rng.normal(size=(n, n, 2)), jnp.float32) for n in (8, 4)]
    regions, levels = jnp.array([[1.0, 2, 20, 17], [0, 4, 25, 30], [3, 3, 9, 8]]), jnp.array([0, 1, 0])
    pooled = pyramid_align(maps, levels, regions, 2, (0.25, 0.125))
    for i, level in enumerate([0, 1, 0]):
        own = roi_align(maps[level], regions[i : i + 1], 2, (0.25, 0.125)[level])
        np.testing.assert_allclose(pooled[i], own[0], rtol=1e-5, atol=1e-6)


def test_regions_keep_their_place_in_maps_of_low_precision():
    """A coordinate of hundreds of pixels has no fraction in bfloat16."""
    side = 800
    x = jnp.broadcast_to(jnp.linspace(0, 1, side // 8)[:, None, None] ** 6, (1, side // 8, side // 8, 1))
    regions = jnp.array([[[513.0, 700, 591, 790], [301, 515, 317, 523]]])

    def read(dtype):
        network = FasterRCNN(backbone=TinyDarknet(), sizes=((32,),), dtype=dtype)
        return network.apply({}, (x.astype(dtype),), regions, (side, side), 7, method="_read")

    low, full = read(jnp.bfloat16), read(jnp.float32)
    assert low.dtype == jnp.bfloat16
    np.testing.assert_allclose(low.astype(jnp.float32), full, rtol=2**-7)
