"""Boundary F1 and Hausdorff distances against all pairs of boundary pixels."""

import numpy as np
import pytest
import scipy.spatial

from training.metrics.surfaces import Surfaces, boundary

RNG = np.random.default_rng(0)


def run(predicted, true, tolerance=1.0):
    sink = Surfaces(tolerance).start(None, None)
    for i in range(len(true)):  # batch by batch
        sink.add(np.array([i]), {"prediction": predicted[i : i + 1], "masks": true[i : i + 1]})
    return sink.compute()


def blobs(shape):
    return np.kron(RNG.integers(0, 3, shape), np.ones((1, 3, 3), int))


def test_they_are_those_of_all_pairs_of_boundary_pixels():
    true, predicted = blobs((2, 4, 5)), blobs((2, 4, 5))
    f1, distances = [], []
    for p, t in zip(predicted, true, strict=True):
        for k in np.union1d(p, t):
            if k == 0:
                continue
            points = [np.argwhere(boundary(x == k)) for x in (p, t)]
            if not all(map(len, points)):
                f1.append(0)
                continue
            apart = scipy.spatial.distance.cdist(*points)
            there, back = apart.min(1), apart.min(0)
            precision, recall = (there <= 1).mean(), (back <= 1).mean()
            f1.append(2 * precision * recall / (precision + recall))
            distances.append(max(np.percentile(there, 95), np.percentile(back, 95)))
    found = run(predicted, true)
    assert len(distances) > 2
    np.testing.assert_allclose(found["boundary_f1"], np.mean(f1), rtol=1e-12)
    np.testing.assert_allclose(found["hausdorff_95"], np.mean(distances), rtol=1e-12)


def test_a_boundary_has_a_neighbour_outside():
    region = blobs((1, 4, 5))[0] > 0
    around = np.pad(region, 1)
    surrounded = around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
    np.testing.assert_array_equal(boundary(region), region & ~surrounded)


def test_a_square_that_is_moved_by_two_pixels():
    true, predicted = np.zeros((2, 1, 20, 20), int)
    true[0, 4:10, 4:10], predicted[0, 6:12, 4:10] = 1, 1
    assert run(predicted, true, 2.0) == {"boundary_f1": 1.0, "hausdorff_95": 2.0}
    edges = [np.argwhere(boundary(x[0] == 1)) for x in (predicted, true)]
    assert scipy.spatial.distance.directed_hausdorff(*edges)[0] == pytest.approx(2.0)
    assert run(predicted, true, 1.0)["boundary_f1"] < 1


def test_ignored_pixels_are_as_predicted_and_absent_classes_count_once():
    true, predicted = np.zeros((2, 1, 8, 8), int)
    true[0, 2:5, 2:5], predicted[0, 2:5, 2:5] = 1, 1
    predicted[0, 6, 6], true[0, 6, 6] = 2, -1
    assert run(predicted, true)["boundary_f1"] == 1.0
    true[0, 6, 6] = 0
    assert run(predicted, true)["boundary_f1"] == 0.5
    assert np.isnan(run(np.zeros_like(true), np.zeros_like(true))["hausdorff_95"])
