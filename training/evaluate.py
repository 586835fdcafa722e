"""Evaluation: every example of a split exactly once, on all devices, and sums that are divided only at the end."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

from training.step import TrainState, fetch
from training.task import Task


def variables(state: TrainState) -> tuple[dict, dict, str]:
    """(params, stats, "ema" or "raw"): the moving average of the players that have one."""
    return {**state.params, **state.ema}, state.stats, "ema" if state.ema else "raw"


def make_predict_step(task: Task, prepare: Callable) -> Callable:
    """(params, stats, resident, feed, frozen, key) -> outputs per example, with `id` and `mask`."""

    def predict(params, stats, resident, feed, frozen, key):
        batch = prepare(fetch(resident, feed))
        outputs = task.predict(params, stats, batch, jax.random.wrap_key_data(key), frozen)
        return {**outputs, "id": feed["id"], "mask": feed["mask"]}

    return predict


def make_evaluate_step(task: Task, prepare: Callable) -> Callable:
    """(params, stats, resident, feed, frozen, key) -> the sums of each of the task's metrics over the batch."""

    def evaluate(params, stats, resident, feed, frozen, key):
        batch = prepare(fetch(resident, feed))
        outputs = task.predict(params, stats, batch, jax.random.wrap_key_data(key), frozen)
        return {name: metric.update(outputs, batch) for name, metric in task.metrics.items()}

    return evaluate


def evaluate(task: Task, step: Callable, feeds: Iterable[Any], arguments: tuple, devices: Any) -> dict[str, Any]:
    """The task's metrics over all of `feeds`: name -> number or array.

    Args:
      step: placed by `devices.evaluate_step`.
      arguments: (params, stats, resident, frozen, key), placed.
    """
    params, stats, resident, frozen, key = arguments
    totals = None
    for sums in _one_behind(step(params, stats, resident, feed, frozen, key) for feed in feeds):
        # On the host, where adding up many batches loses nothing: float64, and integers as they are.
        sums = jax.tree.map(_widen, devices.get(sums))
        totals = sums if totals is None else jax.tree.map(np.add, totals, sums)
    results = {}
    for name, metric in task.metrics.items():
        results |= metric.compute(totals[name])
    return results


def _one_behind(items: Iterable[Any]) -> Iterator[Any]:
    """The same items, each given out when the next has been asked for: the device is not idle while the host reads."""
    items = iter(items)
    last = next(items)
    for item in items:
        yield last
        last = item
    yield last


def _widen(x):
    return x.astype(np.int64 if np.issubdtype(x.dtype, np.integer) else np.float64)
