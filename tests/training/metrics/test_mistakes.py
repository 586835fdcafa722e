"""The worst mistakes: the same however the split is cut into batches, with no more than a batch held."""

import numpy as np

from training.metrics.mistakes import Mistakes

RANDOM = np.random.default_rng(0)
N = 200
ROWS = {
    "label": RANDOM.integers(-1, 3, N),
    "prediction": RANDOM.integers(0, 3, N),
    "loss": np.round(RANDOM.exponential(size=N), 1),  # many are equal
}


def worst(sizes, order):
    sink, start = Mistakes(count=10).start(None, None), 0
    for size in sizes:
        ids = order[start : start + size]
        sink.add(ids, {name: x[ids] for name, x in ROWS.items()})
        assert len(sink.compute()["mistakes"]) <= 10
        start += size
    return sink.compute()["mistakes"]


def test_they_are_the_wrong_answers_with_the_largest_loss():
    wrong = np.flatnonzero((ROWS["label"] >= 0) & (ROWS["label"] != ROWS["prediction"]))
    expected = wrong[np.argsort(-ROWS["loss"][wrong], kind="stable")][:10]
    for sizes, order in [((N,), np.arange(N)), ((64, 64, 64, 8), np.arange(N)), ((50,) * 4, RANDOM.permutation(N))]:
        np.testing.assert_array_equal(worst(sizes, order), expected)


def test_there_may_be_none():
    sink = Mistakes().start(None, None)
    sink.add(np.arange(2), {"label": np.array([1, -1]), "prediction": np.array([1, 0]), "loss": np.ones(2)})
    assert sink.compute()["mistakes"].shape == (0,)
