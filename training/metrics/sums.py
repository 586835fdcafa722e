"""Metrics as sums. A batch gives a pytree of sums, the sums of batches and devices are added, and the division comes
last: a metric does not depend on how the examples were cut into batches.

Padding (`batch["mask"]` False) and unlabelled examples (label −1) do not count. Counts are int32: exact.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from training.errors import TrainingError
from training.metrics.readings import Reading


@dataclasses.dataclass(frozen=True)
class Metric:
    """One or several numbers over a data set.

    Attributes:
      update: (outputs, batch) -> pytree of sums over the batch, inside `jit`.
      compute: the sums of a whole split, on the host -> {name: number or array}.
      readings: name -> Reading of every number that `compute` gives, and, with `each`, of the entries of its arrays.
        An array that measures nothing by itself (a confusion matrix) has none.
    """

    update: Callable
    compute: Callable
    readings: Mapping[str, Reading]


def valid(batch: dict, label: str = "label") -> jax.Array:
    """Which entries of `batch[label]` [B, ...] count: booleans of its shape."""
    labels = batch[label]
    mask = batch.get("mask", jnp.ones(labels.shape[0], bool))
    return (labels >= 0) & mask.reshape(-1, *[1] * (labels.ndim - 1))


def ratio(numerator, denominator):
    """In float64; NaN where nothing was counted."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(numerator, np.float64) / np.asarray(denominator, np.float64)


def mean(
    output: str,
    name: str,
    better: Literal["max", "min"] | None = None,
    unit: str = "",
    label: str | None = None,
    weight: str | None = None,
    group: str = "",
    panel: str = "",
    scale: Literal["linear", "log"] = "linear",
) -> Metric:
    """`name`: the mean of `outputs[output]` [B] over all examples that are not padding; NaN where none counts.

    Args:
      better, unit, panel, scale: of the Reading.
      label: a field [B] of the batch; examples where it is −1 do not count.
      weight: an output [B], how much of each example counts: the mean is Σ w x / Σ w.
      group: of unpaired examples, the one whose examples the output is about.

    Raises:
      TrainingError: while tracing, if the output or the field `label` does not hold one number per example.
    """

    def update(outputs, batch):
        values = outputs[output]
        mask = f"mask/{group}" if group else "mask"
        counts = valid(batch, label) if label else batch.get(mask, jnp.ones(values.shape[0], bool))
        for what, x in ((f"the output {output!r}", values), (f"the field {label!r}", counts)):
            if x.ndim != 1:
                raise TrainingError(f"metric {name!r} needs one number per example, {what} has the shape {x.shape}")
        if weight:
            shares = jnp.where(counts, outputs[weight], 0)
            return {"sum": jnp.where(shares > 0, shares * values, 0).sum(), "count": shares.sum()}
        return {"sum": jnp.where(counts, values, 0).sum(), "count": counts.sum(dtype=jnp.int32)}

    compute = lambda sums: {name: float(ratio(sums["sum"], sums["count"]))}
    return Metric(update, compute, {name: Reading(better, unit, panel=panel, scale=scale)})


def count_pairs(num_classes: int, label: str) -> Callable:
    """The update of a metric: [K, K] int32, how often a true class (row) was predicted as each class (column).

    Args:
      label: the field of the batch with the true classes [B, ...]; `outputs["prediction"]` has its shape.
    """

    def update(outputs, batch):
        counts = valid(batch, label).ravel()
        true, predicted = jnp.maximum(batch[label].ravel(), 0), outputs["prediction"].ravel()
        matrix = jnp.zeros((num_classes, num_classes), jnp.int32)
        return matrix.at[true, predicted].add(counts.astype(jnp.int32))

    return update
