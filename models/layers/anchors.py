"""Anchors: the boxes that detectors start from, as constants (x1, y1, x2, y2) in pixels. Numpy alone.

The order within a map is that of its cells, row by row, and within a cell that of its shapes, so that a map of numbers
[B, h, w, A · k] is [B, h · w · A, k] by a reshape.
"""

import math
from collections.abc import Sequence

import numpy as np


def shapes(sizes: Sequence[float], ratios: Sequence[float]) -> np.ndarray:
    """Boxes around the origin: ratio = height / width first, then size; area = size². Corners are rounded.

    As torchvision has them, and close to those of Ren et al. 2015 -> [ratios · sizes, 4].
    """
    height = np.sqrt(np.asarray(ratios, np.float64))[:, None] * np.asarray(sizes, np.float64)
    width = height / np.asarray(ratios, np.float64)[:, None]
    half = np.stack([width, height], -1).reshape(-1, 2) / 2
    return np.round(np.concatenate([-half, half], 1))


def inclusive_shapes(base: int, scales: Sequence[float], ratios: Sequence[float]) -> np.ndarray:
    """Those of Ren et al. 2015 as published: [ratios · scales, 4] about the cell [0, base − 1]².

    A side includes both of its ends, so that a box from 0 to 15 is 16 wide, and sides are rounded for each ratio before
    they are scaled. No network here takes them: they serve weights of the authors' own code.
    """
    width = np.round(np.sqrt(base * base / np.asarray(ratios, np.float64)))
    sides = np.stack([width, np.round(width * np.asarray(ratios))], 1)[:, None] * np.asarray(scales)[:, None]
    half = (sides.reshape(-1, 2) - 1) / 2
    return np.concatenate([(base - 1) / 2 - half, (base - 1) / 2 + half], 1)


def grid(cell: np.ndarray, cells: tuple[int, int], strides: tuple[int, int], offset: float = 0.0) -> np.ndarray:
    """Boxes `cell` [A, 4] about the points (column + offset, row + offset) · stride: [h · w · A, 4].

    Args:
      cells: (h, w); strides: (vertical, horizontal), in pixels.
    """
    rows, columns = np.mgrid[: cells[0], : cells[1]].astype(np.float64) + offset
    points = np.stack([columns * strides[1], rows * strides[0]], -1)
    return (np.tile(points, 2)[:, :, None] + cell).reshape(-1, 4)


def default_boxes(scale: float, following: float, ratios: Sequence[float]) -> np.ndarray:
    """The shapes of SSD's default boxes (w, h), in sides of the image: [2 + 2 · ratios, 2]. Liu et al. 2016, 2.2.

    A square of `scale`, one of √(scale · following), then for each ratio a wide and a tall box. Sides are cut off at 1.
    """
    sides = [(scale, scale), (math.sqrt(scale * following),) * 2]
    for ratio in ratios:
        wide = scale * math.sqrt(ratio), scale / math.sqrt(ratio)
        sides += [wide, wide[::-1]]
    return np.minimum(np.array(sides, np.float64), 1)
