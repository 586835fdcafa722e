"""Anchors are the published ones."""

import numpy as np

from models.layers import anchors
from tests.models.parity import golden

FASTER_RCNN = """
-83 -39 100 56  -175 -87 192 104  -359 -183 376 200  -55 -55 72 72  -119 -119 136 136  -247 -247 264 264
-35 -79 52 96  -79 -167 96 184  -167 -343 184 360
"""
STEPS = (8, 16, 32, 64, 100, 300)
SCALES = (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05)
RATIOS = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))


def test_the_original_anchors_are_those_of_the_authors():
    """They count from 1."""
    found = anchors.inclusive_shapes(16, (8, 16, 32), (0.5, 1, 2))
    np.testing.assert_array_equal(found + 1, np.array(FASTER_RCNN.split(), float).reshape(9, 4))


def test_cells_of_the_first_level_of_a_pyramid():
    found = anchors.shapes((32,), (0.5, 1.0, 2.0))
    np.testing.assert_array_equal(found, [(-23, -11, 23, 11), (-16, -16, 16, 16), (-11, -23, 11, 23)])


def test_a_grid_is_that_of_torchvision():
    sizes, cells = ((32, 40, 50), (64, 80, 101)), ((12, 8), (6, 4))
    found = [
        anchors.grid(anchors.shapes(size, (0.5, 1.0, 2.0)), cell, (96 // cell[0], 64 // cell[1]))
        for size, cell in zip(sizes, cells, strict=True)
    ]
    np.testing.assert_allclose(np.concatenate(found), golden("detection")["retina_anchors"])


def test_default_boxes_are_those_of_ssd300():
    found = []
    for k, cells in enumerate((38, 19, 10, 5, 3, 1)):
        half = 150 * anchors.default_boxes(SCALES[k], SCALES[k + 1], RATIOS[k])
        found.append(anchors.grid(np.concatenate([-half, half], 1), (cells, cells), (STEPS[k],) * 2, offset=0.5))
    found = np.concatenate(found)
    assert len(found) == 8732
    np.testing.assert_allclose(found, golden("detection")["ssd_anchors"], rtol=1e-5, atol=1e-3)
