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


def totals(step: Callable[[Any], dict], feeds: Iterable[Any], devices: Any) -> dict[str, Any]:
    """The sums of the task's metrics over all of `feeds`; `step` gives those of one, placed."""
    found = None
    for sums in _one_behind(map(step, feeds)):
        # On the host, where adding up many batches loses nothing: float64, and integers as they are.
        sums = jax.tree.map(_widen, devices.get(sums))
        found = sums if found is None else jax.tree.map(np.add, found, sums)
    return found


def compute(task: Task, sums: dict[str, Any]) -> dict[str, Any]:
    """The task's metrics from their sums: name -> number or array."""
    results = {}
    for name, metric in task.metrics.items():
        results |= metric.compute(sums[name])
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
