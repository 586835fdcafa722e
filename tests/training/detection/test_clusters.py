"""Clusters of box sizes."""

import numpy as np

from training.detection.clusters import cluster, overlaps


def test_sizes_are_found_again_and_more_of_them_fit_better():
    rng = np.random.default_rng(0)
    true = np.array([[10.0, 12], [30, 20], [25, 60]])
    sizes = true[rng.integers(0, 3, 300)] * rng.uniform(0.95, 1.05, (300, 2))
    found, fit = cluster(sizes, 3)
    np.testing.assert_allclose(found, true, rtol=0.03)
    assert cluster(sizes, 1)[1] < cluster(sizes, 2)[1] < fit > 0.94


def test_overlaps_by_hand():
    np.testing.assert_allclose(overlaps(np.array([[4.0, 2]]), np.array([[2.0, 2], [4, 2], [8, 1]])), [[0.5, 1, 1 / 3]])
