"""Whether two classifiers differ on the same examples. McNemar 1947; Dietterich 1998, section 3.1."""

import math

import numpy as np


def mcnemar(one: np.ndarray, other: np.ndarray) -> tuple[int, int, float]:
    """(examples that only the one has right, that only the other has, p) of two arrays [N] bool: who is right where.

    p is the two-sided probability of counts at least as unequal if both were equally good: exact, by the binomial.
    """
    only_one, only_other = int((one & ~other).sum()), int((other & ~one).sum())
    count, least = only_one + only_other, min(only_one, only_other)
    tail = sum(math.comb(count, i) for i in range(least + 1))
    return only_one, only_other, min(1.0, float(2 * tail / 2**count)) if count else 1.0


def bootstrap(one: np.ndarray, other: np.ndarray, samples: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of the difference in accuracy, one minus other, over resampled examples."""
    difference = one.astype(np.float64) - other
    counts = np.array([(difference > 0).mean(), (difference == 0).mean(), (difference < 0).mean()])
    drawn = np.random.default_rng(seed).multinomial(len(difference), counts, samples) / len(difference)
    low, high = np.percentile(drawn[:, 0] - drawn[:, 2], [2.5, 97.5])
    return float(low), float(high)
