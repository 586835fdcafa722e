"""How far generated images are from real ones, in the features [N, D] of any network; on the host, in float64.

Only the features of the Inception network that the literature uses make the first of these its FID.
"""

import numpy as np

BLOCK = 1000  # rows of a matrix of distances that are held at once


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean [D] and covariance [D, D], unbiased."""
    features = np.asarray(features, np.float64)
    return features.mean(0), np.atleast_2d(np.cov(features, rowvar=False))


def frechet(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> float:
    """|μ − ν|² + tr(Σ + T − 2 (Σ T)^½) of N(μ, Σ) and N(ν, T): Heusel et al. 2017, eq. 6.

    Σ T is similar to a positive matrix, so the trace of its root is the sum of the roots of its eigenvalues.
    """
    (mean, covariance), (other_mean, other_covariance) = a, b
    eigenvalues = np.linalg.eigvals(covariance @ other_covariance).real
    cross = np.sqrt(np.maximum(eigenvalues, 0)).sum()
    return float(((mean - other_mean) ** 2).sum() + np.trace(covariance) + np.trace(other_covariance) - 2 * cross)


def kernel_distance(x: np.ndarray, y: np.ndarray, subsets: int = 50, size: int = 1000) -> float:
    """Unbiased MMD² with the kernel (x·y/D + 1)³, averaged over random subsets: Bińkowski et al. 2018, section 4.

    0 on average where both are of one distribution, so it may be negative.
    """
    random, size = np.random.default_rng(0), min(size, len(x), len(y))
    kernel = lambda a, b: (a @ b.T / a.shape[1] + 1) ** 3
    others = lambda k: (k.sum() - np.trace(k)) / (size * (size - 1))
    values = []
    for _ in range(subsets):
        a, b = (np.asarray(s[random.choice(len(s), size, replace=False)], np.float64) for s in (x, y))
        values.append(others(kernel(a, a)) + others(kernel(b, b)) - 2 * kernel(a, b).mean())
    return float(np.mean(values))


def among(points: np.ndarray, support: np.ndarray, k: int = 3) -> np.ndarray:
    """Whether each point lies no farther from one of `support` than that one's k-th neighbour, [N] bool.

    Of samples among the real, the share is their precision; of the real among samples, their recall: Kynkäänniemi et
    al. 2019, eq. 2.
    """
    radii = np.concatenate([np.partition(d, k, axis=1)[:, k] for d in _distances(support, support)])
    return np.concatenate([(d <= radii).any(1) for d in _distances(points, support)])


def nearest(points: np.ndarray, support: np.ndarray) -> np.ndarray:
    """The distance of each point from the nearest of `support`, [N]."""
    return np.sqrt(np.concatenate([d.min(1) for d in _distances(points, support)]))


def covered(labels: np.ndarray, good: np.ndarray, num_classes: int, share: float = 0.1) -> int:
    """How many classes have at least `share` of their equal part in samples that are `good` [N]."""
    counts = np.bincount(labels[good], minlength=num_classes)
    return int((counts >= share * len(labels) / num_classes).sum())


def _distances(a, b):
    """Squared distances [rows, len(b)], a block of rows of `a` at a time."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    lengths = (b**2).sum(1)
    for start in range(0, len(a), BLOCK):
        rows = a[start : start + BLOCK]
        yield np.maximum((rows**2).sum(1)[:, None] + lengths - 2 * rows @ b.T, 0)


def kernel_distance_of_blocks(x: np.ndarray, y: np.ndarray, size: int = 1000) -> tuple[float, float]:
    """(kernel distance, its standard error): the mean over blocks of `size` rows that share none, so that their
    estimates are independent; Zaremba et al. 2013, section 2.

    The kernel is that of `kernel_distance`. The standard error is NaN where there are fewer than two blocks.
    """
    count = max(min(len(x), len(y)) // size, 1)
    order = [np.random.default_rng(seed).permutation(len(points)) for seed, points in enumerate((x, y))]
    blocks = [np.array_split(ids[: count * size], count) for ids in order]
    values = [kernel_distance(x[i], y[j], 1, min(len(i), len(j))) for i, j in zip(*blocks, strict=True)]
    error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
    return float(np.mean(values)), float(error)


def density_and_coverage(samples: np.ndarray, real: np.ndarray, k: int = 5) -> tuple[float, float]:
    """How many of the real points' k-neighbourhoods hold a sample, over k; the share of them that hold one.

    Naeem et al. 2020, equation 3: unlike precision and recall, the neighbourhoods are those of the real points alone,
    so outliers among the samples count for nothing. Of two sets of one distribution the expected density is 1, and the
    coverage near 1 − 2^−k.
    """
    radii = np.concatenate([np.partition(d, k, axis=1)[:, k] for d in _distances(real, real)])
    held, covered = 0, np.zeros(len(real), bool)
    for d in _distances(samples, real):
        inside = d <= radii
        held += inside.sum()
        covered |= inside.any(0)
    return float(held / (k * len(samples))), float(covered.mean())


def two_sample_accuracy(x: np.ndarray, y: np.ndarray) -> float:
    """How often a point of either set has its nearest other point in its own set: Lopez-Paz & Oquab 2017, section 4.

    ½ where both sets, of equal size, are of one distribution; 1 where they are apart; below ½ where one repeats the
    other. Of equal distances the point of the other set counts.
    """
    points, own = np.concatenate([x, y]), np.arange(len(x) + len(y)) < len(x)
    hits, start = 0, 0
    for d in _distances(points, points):
        rows = np.arange(start, start + len(d))
        d[np.arange(len(d)), rows] = np.inf
        nearest = [np.where(own == side, d, np.inf).min(1) for side in (True, False)]
        hits += np.where(own[rows], nearest[0] < nearest[1], nearest[1] < nearest[0]).sum()
        start += len(d)
    return float(hits / len(points))


def inception_score(probabilities: np.ndarray) -> float:
    """exp of the mean KL(p(y|x) ‖ p(y)) of probabilities [N, K] of classes: Salimans et al. 2016, section 4.

    Only with the probabilities of Inception v3 it is the score that the literature prints.
    """
    p = np.asarray(probabilities, np.float64)
    logs = np.log(np.maximum(p, np.finfo(np.float64).tiny))
    marginal = np.log(np.maximum(p.mean(0), np.finfo(np.float64).tiny))
    return float(np.exp((p * (logs - marginal)).sum(1).mean()))
