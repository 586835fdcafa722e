"""Metrics as sums. A batch gives a pytree of sums, the sums of batches and devices are added, and only then
is there a division: so no metric depends on how the examples were cut into batches.

What is padding (`batch["mask"]` False) or unlabelled (label −1) counts nowhere. Counts are int32: exact.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True)
class Metric:
    """One or several numbers over a data set.

    Attributes:
      update: (outputs, batch) -> pytree of sums, jitted.
      compute: merged sums, on the host -> name -> number or array.
    """

    update: Callable
    compute: Callable


def valid(batch: dict, label: str = "label") -> jax.Array:
    """Which entries of `batch[label]` [B, ...] count: booleans of its shape."""
    labels = batch[label]
    mask = batch.get("mask", jnp.ones(labels.shape[0], bool))
    return (labels >= 0) & mask.reshape(-1, *[1] * (labels.ndim - 1))


def _ratio(numerator, denominator):
    """In float64; NaN where nothing was counted."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(numerator, np.float64) / np.asarray(denominator, np.float64)


def accuracy() -> Metric:
    """`accuracy` and `error` = 1 − accuracy of `outputs["prediction"]` [B]."""

    def update(outputs, batch):
        counts = valid(batch)
        hits = (outputs["prediction"] == batch["label"]) & counts
        return {"hits": hits.sum(dtype=jnp.int32), "count": counts.sum(dtype=jnp.int32)}

    def compute(sums):
        value = float(_ratio(sums["hits"], sums["count"]))
        return {"accuracy": value, "error": 1 - value}

    return Metric(update, compute)


def top_k(k: int) -> Metric:
    """`top<k>`: the label is among the k largest `outputs["logits"]` [B, K]; of equal ones the first win."""

    def update(outputs, batch):
        counts = valid(batch)
        _, best = jax.lax.top_k(outputs["logits"], k)
        hits = (best == batch["label"][:, None]).any(-1) & counts
        return {"hits": hits.sum(dtype=jnp.int32), "count": counts.sum(dtype=jnp.int32)}

    return Metric(update, lambda sums: {f"top{k}": float(_ratio(sums["hits"], sums["count"]))})


def mean(output: str, name: str) -> Metric:
    """`name`: mean of `outputs[output]` [B] over labelled examples (over all where batches have no label)."""

    def update(outputs, batch):
        values = outputs[output]
        counts = valid(batch) if "label" in batch else batch.get("mask", jnp.ones(values.shape[0], bool))
        return {"sum": jnp.where(counts, values, 0).sum(), "count": counts.sum(dtype=jnp.int32)}

    return Metric(update, lambda sums: {name: float(_ratio(sums["sum"], sums["count"]))})


def _count_pairs(num_classes, label):
    """update -> [K, K] matrix of counts: row the true class, column the predicted one."""

    def update(outputs, batch):
        counts = valid(batch, label).ravel()
        true, predicted = jnp.maximum(batch[label].ravel(), 0), outputs["prediction"].ravel()
        matrix = jnp.zeros((num_classes, num_classes), jnp.int32)
        return matrix.at[true, predicted].add(counts.astype(jnp.int32))

    return update


def confusion(num_classes: int) -> Metric:
    """`confusion` [K, K] (rows: true, columns: predicted), `per_class_accuracy` [K] (NaN: absent class)."""

    def compute(matrix):
        matrix = np.asarray(matrix)
        return {"confusion": matrix, "per_class_accuracy": _ratio(np.diag(matrix), matrix.sum(1))}

    return Metric(_count_pairs(num_classes, "label"), compute)


def overlap(num_classes: int) -> Metric:
    """Segmentation: how `outputs["prediction"]` [B, H, W] covers `batch["masks"]` [B, H, W], over all pixels.

    `pixel_accuracy`; per class `iou` = TP/(TP + FP + FN) and `dice` = 2TP/(2TP + FP + FN) [K], NaN for a
    class that is neither there nor predicted; `mean_iou` and `mean_dice` over the other classes.
    """

    def compute(matrix):
        matrix = np.asarray(matrix)
        hits, true, predicted = np.diag(matrix), matrix.sum(1), matrix.sum(0)
        iou = _ratio(hits, true + predicted - hits)
        dice = _ratio(2 * hits, true + predicted)
        seen = true + predicted > 0
        return {
            "pixel_accuracy": float(_ratio(hits.sum(), matrix.sum())),
            "mean_iou": float(_ratio(iou[seen].sum(), seen.sum())),
            "mean_dice": float(_ratio(dice[seen].sum(), seen.sum())),
            "iou": iou,
            "dice": dice,
            "confusion": matrix,
        }

    return Metric(_count_pairs(num_classes, "masks"), compute)
