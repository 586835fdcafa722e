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


def test_kernel_distance_of_blocks_has_the_error_that_repetitions_show():
    draw = lambda shift, seed: np.random.default_rng(seed).normal(shift, 1, (800, 6))
    found = np.array([measures.kernel_distance_of_blocks(draw(0.1, i), draw(0, 500 + i), 100) for i in range(60)])
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(ddof=1), rel=0.3)
    one = measures.kernel_distance(draw(0.1, 0), draw(0, 500), 1, 800)
    whole, error = measures.kernel_distance_of_blocks(draw(0.1, 0), draw(0, 500), 800)
    assert whole == pytest.approx(one) and np.isnan(error)


def test_kernel_distance_is_the_unbiased_formula():
    """Against the double sums, written out."""
    x, y = RANDOM.normal(size=(2, 7, 3))
    k = lambda a, b: (a @ b / 3 + 1) ** 3
    within = lambda s: sum(k(s[i], s[j]) for i in range(7) for j in range(7) if i != j) / 42
    expected = within(x) + within(y) - 2 * sum(k(a, b) for a in x for b in y) / 49
    assert measures.kernel_distance_of_blocks(x, y, 7)[0] == pytest.approx(expected)


def test_density_and_coverage():
    """Against the definition, point by point; and the expectations for one distribution."""
    samples, real = RANDOM.normal(size=(40, 3)), RANDOM.normal(size=(30, 3))
    distance = lambda a, b: np.linalg.norm(a[:, None] - b, axis=-1)
    radii = np.sort(distance(real, real), 1)[:, 4]  # the first is the point itself
    inside = distance(samples, real) <= radii
    found = measures.density_and_coverage(samples, real, 4)
    assert found == pytest.approx((inside.sum() / (4 * 40), inside.any(0).mean()))
    one, other = RANDOM.normal(size=(2, 1500, 2))
    density, coverage = measures.density_and_coverage(one, other, 5)
    assert density == pytest.approx(1, abs=0.1) and coverage == pytest.approx(1 - 2**-5, abs=0.02)
    density, coverage = measures.density_and_coverage(np.abs(one), other, 5)  # one quarter of the plane, four times
    assert density == pytest.approx(1, abs=0.15) and coverage == pytest.approx(0.25, abs=0.05)
    assert measures.density_and_coverage(one + 50, other) == (0, 0)
    outliers = np.concatenate([other, np.full((5, 2), 90.0) + np.arange(5)[:, None]])
    assert measures.density_and_coverage(one, outliers)[0] == pytest.approx(1, abs=0.1)


def test_a_nearest_neighbour_tells_two_samples_apart():
    one, other = RANDOM.normal(size=(2, 1200, 3))
    assert measures.two_sample_accuracy(one, other) == pytest.approx(0.5, abs=0.05)
    assert measures.two_sample_accuracy(one, other + 30) == 1
    assert measures.two_sample_accuracy(one, one) == 0  # copies
    few = RANDOM.normal(size=(13, 2)), RANDOM.normal(size=(13, 2)) + 1
    points = np.concatenate(few)
    away = np.linalg.norm(points[:, None] - points, axis=-1) + np.diag(np.full(26, np.inf))
    expected = ((away.argmin(1) < 13) == (np.arange(26) < 13)).mean()
    assert measures.two_sample_accuracy(*few) == pytest.approx(expected)


def test_inception_score():
    assert measures.inception_score(np.eye(7)[np.arange(70) % 7]) == pytest.approx(7)
    assert measures.inception_score(np.full((9, 4), 0.25)) == pytest.approx(1)
    p = RANDOM.dirichlet(np.ones(5), 40)
    expected = np.exp(np.mean([sum(a * np.log(a / b) for a, b in zip(row, p.mean(0), strict=True)) for row in p]))
    assert measures.inception_score(p) == pytest.approx(expected)
