"""Anchors learnt from the boxes of a data set (Redmon & Farhadi 2017, section 2). Numpy, on the host."""

import numpy as np


def cluster(sizes: np.ndarray, count: int, seed: int = 0) -> tuple[np.ndarray, float]:
    """k-means with the distance 1 − IoU, for which all boxes have one centre. Seeded as k-means++ is.

    Args:
      sizes: (w, h) > 0, [N, 2], at least k different ones.
      count: k.

    Returns: (sizes [k, 2] by area, the mean over boxes of the IoU with the nearest one).
    """
    sizes = np.asarray(sizes, np.float64)
    rng = np.random.default_rng(seed)
    means = sizes[rng.integers(len(sizes))][None]
    while len(means) < count:  # the farther a box is from those chosen, the likelier it is the next
        far = (1 - overlaps(sizes, means).max(1)) ** 2
        means = np.append(means, sizes[rng.choice(len(sizes), p=far / far.sum())][None], 0)
    nearest = np.full(len(sizes), -1)
    while True:
        before, nearest = nearest, overlaps(sizes, means).argmax(1)
        if (nearest == before).all():
            break
        means = np.stack([sizes[nearest == k].mean(0) if (nearest == k).any() else means[k] for k in range(count)])
    return means[np.argsort(means.prod(1))], float(overlaps(sizes, means).max(1).mean())


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of sizes [N, 2] and [k, 2] about one centre: [N, k]."""
    shared = np.minimum(a[:, None], b).prod(-1)
    return shared / (a.prod(-1)[:, None] + b.prod(-1) - shared)
