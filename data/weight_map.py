"""U-Net's weight of each pixel: classes balanced, and thin gaps between cells held dear.

    w(x) = w_c(x) + w₀ exp(−(d₁(x) + d₂(x))² / 2σ²)          Ronneberger et al. 2015, equation 2

d₁ and d₂ are the distances to the nearest and the second nearest cell.
"""

import numpy as np
from scipy import ndimage


def class_weights(counts: np.ndarray) -> np.ndarray:
    """w_c [K] from the number of pixels of each class [K]: inverse frequencies, 1 on the average over all pixels."""
    counts = np.asarray(counts, np.float64)
    return counts.sum() / np.maximum(counts, 1) / max((counts > 0).sum(), 1)


def weight_map(cells: np.ndarray, balance: np.ndarray, border_weight=10.0, sigma=5.0) -> np.ndarray:
    """w [H, W] float32.

    Args:
      cells: [H, W] int, 0 between the cells and i on cell i, i = 1, 2, … in any order.
      balance: [H, W], w_c of each pixel.
      border_weight: w₀.
      sigma: σ in pixels.

    The border term is added between the cells only, for there is what it is to save; and only within 5σ of both
    cells, for beyond it is less than w₀/250,000.
    """
    reach = int(np.ceil(5 * sigma))
    nearest = np.full(cells.shape, np.inf)
    second = nearest.copy()
    for i, found in enumerate(ndimage.find_objects(cells), start=1):
        if found is None:  # a number that no cell has
            continue
        near = tuple(slice(max(s.start - reach, 0), s.stop + reach) for s in found)
        distance = ndimage.distance_transform_edt(cells[near] != i)
        second[near] = np.minimum(second[near], np.maximum(nearest[near], distance))
        nearest[near] = np.minimum(nearest[near], distance)
    border = border_weight * np.exp(-((nearest + second) ** 2) / (2 * sigma**2))
    return (balance + border * (cells == 0)).astype(np.float32)
