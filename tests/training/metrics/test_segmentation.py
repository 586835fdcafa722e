"""Overlap of masks against scikit-learn."""

import jax
import jax.numpy as jnp
import numpy as np
import sklearn.metrics

from training.metrics.segmentation import overlap

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
