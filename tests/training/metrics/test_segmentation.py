"""Overlap of masks against scikit-learn."""

import jax
import jax.numpy as jnp
import numpy as np
import sklearn.metrics

from training.metrics.segmentation import overlap, scores

RNG = np.random.default_rng(0)


def test_overlap_ignores_pixels_and_absent_classes():
    truth = RNG.integers(0, 3, (4, 6, 6)).astype(np.int32)
    guess = np.where(RNG.random(truth.shape) < 0.3, RNG.integers(0, 3, truth.shape), truth)
    truth[RNG.random(truth.shape) < 0.2] = -1
    metric = overlap(4)  # class 3 is neither there nor predicted
    batch = {"masks": jnp.asarray(truth), "mask": jnp.array([True, True, True, False])}
    result = metric.compute(jax.device_get(metric.update({"prediction": jnp.asarray(guess)}, batch)))
    seen = truth[:3] >= 0
    t, g = truth[:3][seen], guess[:3][seen]
    iou = sklearn.metrics.jaccard_score(t, g, average=None)
    dice = sklearn.metrics.f1_score(t, g, average=None)
    np.testing.assert_allclose(result["iou"], [*iou, np.nan])
    np.testing.assert_allclose(result["dice"], [*dice, np.nan])
    np.testing.assert_allclose(result["mean_iou"], iou.mean())
    np.testing.assert_allclose(result["mean_dice"], dice.mean())
    np.testing.assert_allclose(result["pixel_accuracy"], (t == g).mean())


def test_scores_are_those_of_scikit_learn():
    truth = RNG.integers(0, 4, (3, 6, 6)).astype(np.int32)
    guess = np.where(RNG.random(truth.shape) < 0.4, RNG.integers(0, 5, truth.shape), truth)
    truth[RNG.random(truth.shape) < 0.2] = -1
    metric = scores(6)  # class 4 never occurs, class 5 neither occurs nor is predicted
    sums = metric.update({"prediction": jnp.asarray(guess)}, {"masks": jnp.asarray(truth)})
    result = metric.compute(jax.device_get(sums))
    seen = truth >= 0
    t, g = truth[seen], guess[seen]
    options = dict(average=None, labels=range(6), zero_division=np.nan)
    np.testing.assert_allclose(result["precision"], sklearn.metrics.precision_score(t, g, **options))
    np.testing.assert_allclose(result["recall"], sklearn.metrics.recall_score(t, g, **options))
    np.testing.assert_allclose(result["mean_accuracy"], sklearn.metrics.balanced_accuracy_score(t, g))
    np.testing.assert_allclose(result["mean_precision"], np.nanmean(result["precision"]))
    weighted = sklearn.metrics.jaccard_score(t, g, average="weighted")
    np.testing.assert_allclose(result["frequency_weighted_iou"], weighted)
    assert result.keys() == metric.readings.keys() | {"confusion"}
