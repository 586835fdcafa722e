"""Distances between sets of features, against closed forms."""

import numpy as np
import pytest

from training.metrics import generative as measures

RANDOM = np.random.default_rng(0)


def test_frechet_closed_forms():
    one = (np.zeros(1), np.eye(1))
    assert measures.frechet(one, (np.ones(1), 4 * np.eye(1))) == pytest.approx(2)  # 1 + 1 + 4 − 2·2
    root = RANDOM.normal(size=(5, 5))
    gaussian = (RANDOM.normal(size=5), root @ root.T)
    assert measures.frechet(gaussian, gaussian) == pytest.approx(0, abs=1e-9)
    shifted = (gaussian[0] + 2, gaussian[1])
    assert measures.frechet(gaussian, shifted) == pytest.approx(20)
    # Covariances that commute: Σ (√a − √b)².
    a, b = RANDOM.uniform(0.1, 3, (2, 5))
    basis, _ = np.linalg.qr(root)
    pair = [(np.zeros(5), basis @ np.diag(v) @ basis.T) for v in (a, b)]
    assert measures.frechet(*pair) == pytest.approx(((a**0.5 - b**0.5) ** 2).sum())


def test_moments():
    x = RANDOM.normal(size=(50, 3))
    mean, covariance = measures.moments(x)
    np.testing.assert_allclose(mean, x.mean(0))
    np.testing.assert_allclose(covariance, (x - mean).T @ (x - mean) / 49)


def test_kernel_distance():
    draw = lambda shift, seed: np.random.default_rng(seed).normal(shift, 1, (400, 8))
    same = [measures.kernel_distance(draw(0, i), draw(0, 100 + i), subsets=1, size=400) for i in range(60)]
    assert abs(np.mean(same)) < 3 * np.std(same) / 60**0.5  # unbiased
    assert measures.kernel_distance(draw(0, 0), draw(1, 1)) > 20 * np.std(same)


def test_precision_and_recall():
    real = RANDOM.uniform(size=(1500, 2))
    half = RANDOM.uniform(size=(1500, 2)) * [0.5, 1]
    assert measures.among(half, real).mean() > 0.95
    assert measures.among(real, half).mean() == pytest.approx(0.5, abs=0.05)
    assert not measures.among(real, real + 5).any()
    assert measures.among(real, real).all()


def test_nearest_and_covered():
    support = RANDOM.normal(size=(30, 4))
    np.testing.assert_allclose(measures.nearest(support[3:7], support), 0, atol=1e-6)
    np.testing.assert_allclose(measures.nearest(support[:1] + np.array([3, 0, 0, 0]), support[:1]), 3)
    labels = np.repeat([0, 1, 2, 3], [50, 40, 1, 9])
    assert measures.covered(labels, np.ones(100, bool), 4) == 3
    assert measures.covered(labels, labels != 1, 4) == 2
