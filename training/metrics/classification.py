"""How often a classifier is right: accuracy, top-k accuracy, and the confusion of classes."""

import jax
import jax.numpy as jnp
import numpy as np

from training.metrics.readings import Reading
from training.metrics.sums import Metric, count_pairs, ratio, valid


def accuracy() -> Metric:
    """`accuracy` and `error` = 1 − accuracy of `outputs["prediction"]` [B]."""

    def update(outputs, batch):
        counts = valid(batch)
        hits = (outputs["prediction"] == batch["label"]) & counts
        return {"hits": hits.sum(dtype=jnp.int32), "count": counts.sum(dtype=jnp.int32)}

    def compute(sums):
        value = float(ratio(sums["hits"], sums["count"]))
        return {"accuracy": value, "error": 1 - value}

    # The error is the same curve upside down.
    return Metric(update, compute, {"accuracy": Reading("max", "%"), "error": Reading("min", "%", panel=None)})


def top_k(k: int) -> Metric:
    """`top<k>`: the label is among the k largest `outputs["logits"]` [B, K]; of equal ones the first win."""

    def update(outputs, batch):
        counts = valid(batch)
        _, best = jax.lax.top_k(outputs["logits"], k)
        hits = (best == batch["label"][:, None]).any(-1) & counts
        return {"hits": hits.sum(dtype=jnp.int32), "count": counts.sum(dtype=jnp.int32)}

    compute = lambda sums: {f"top{k}": float(ratio(sums["hits"], sums["count"]))}
    return Metric(update, compute, {f"top{k}": Reading("max", "%")})


def confusion(num_classes: int) -> Metric:
    """`confusion` [K, K] (rows: true, columns: predicted), `per_class_accuracy` [K] (NaN: absent class)."""

    def compute(matrix):
        matrix = np.asarray(matrix)
        return {"confusion": matrix, "per_class_accuracy": ratio(np.diag(matrix), matrix.sum(1))}

    readings = {"per_class_accuracy": Reading("max", "%", each=True)}
    return Metric(count_pairs(num_classes, "label"), compute, readings)
