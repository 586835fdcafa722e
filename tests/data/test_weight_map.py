"""U-Net's weight map against its equation, written out."""

import numpy as np
from scipy.ndimage import distance_transform_edt

from data.weight_map import class_weights, weight_map


def test_equation_2_on_cells_of_any_shape():
    cells = np.zeros((40, 50), int)
    cells[3:15, 4:20], cells[3:15, 22:40], cells[20:30, 10:12], cells[35:, 45:] = 1, 2, 4, 3
    balance = np.where(cells > 0, 0.5, 2.0)
    distances = np.sort([distance_transform_edt(cells != i) for i in range(1, 5)], axis=0)
    expected = balance + (cells == 0) * 7 * np.exp(-((distances[0] + distances[1]) ** 2) / (2 * 3**2))
    weights = weight_map(cells, balance, border_weight=7.0, sigma=3.0)
    np.testing.assert_allclose(weights, expected, atol=7 / 250_000)
    assert weights.dtype == np.float32
    assert weights[5, 20:22].min() > 6 and weights[34, 2] < 2.001


def test_one_cell_has_no_border_to_another():
    cells = np.zeros((20, 20), int)
    cells[5:10, 5:10] = 1
    np.testing.assert_array_equal(weight_map(cells, np.ones((20, 20))), 1)


def test_class_weights_balance_and_are_one_on_the_average():
    counts = np.array([600, 300, 100])
    weights = class_weights(counts)
    np.testing.assert_allclose(weights * counts, counts.sum() / 3)
    absent = class_weights([600, 0, 400])
    np.testing.assert_allclose((absent * [600, 0, 400]).sum(), 1000)
