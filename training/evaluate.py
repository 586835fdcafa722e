"""Evaluation: one pass over a split, every example exactly once, on all devices.

The pass serves metrics, whose sums are added on the devices and on the host, and evaluators, whose sinks take rows on
the host. No full split is held in memory unless an evaluator holds it.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from training.errors import TrainingError, nearest
from training.evaluators import Draw, Evaluator, Sink
from training.metrics.readings import Reading
from training.step import TrainState, fetch
from training.task import Task

__all__ = ["Evaluation", "Evaluator", "Sink", "evaluate_set", "evaluate_slots", "needs", "readings", "score"]


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


def make_evaluate_step(task: Task, prepare: Callable, needs: Collection[str] = ()) -> Callable:
    """(params, stats, resident, feed, frozen, key) -> (sums, rows).

    `sums` is {name: pytree} of the task's metrics over the batch. `rows` holds the `needs`, `id` and `mask` of every
    example, [B, ...]; without needs it is {}. The `evaluate_step` of a placement adds up the former over devices and
    leaves the latter where they are.

    Args:
      prepare: batch -> batch, as evaluation sees it.
      needs: outputs of the task, or fields of the prepared batch where there is no output of this name; see `needs`.

    Raises:
      TrainingError: while tracing, naming a need that is neither.
    """
    needed = tuple(needs)

    def evaluate(params, stats, resident, feed, frozen, key):
        batch = prepare(fetch(resident, feed))
        outputs = task.predict(params, stats, batch, jax.random.wrap_key_data(key), frozen)
        sums = {name: metric.update(outputs, batch) for name, metric in task.metrics.items()}
        if not needed:
            return sums, {}
        found = {**batch, **outputs}
        rows = {name: _found(found, name) for name in needed}
        return sums, {**rows, "id": feed["id"], "mask": feed["mask"]}

    return evaluate


def _found(fields, name):
    if name not in fields:
        hint = nearest(name, fields)
        raise TrainingError(f"an evaluator needs {name!r}, which is neither an output nor a field: {hint}")
    return fields[name]


def needs(evaluators: Mapping[str, Evaluator]) -> tuple[str, ...]:
    """Everything that the evaluators need, each name once, for `make_evaluate_step`."""
    return tuple(dict.fromkeys(name for evaluator in evaluators.values() for name in evaluator.needs))


def readings(task: Task, evaluators: Mapping[str, Evaluator] | None = None) -> dict[str, Reading]:
    """name -> Reading of every number that an evaluation gives, and of its arrays (`each`); nothing is run.

    Args:
      evaluators: those of the set; None: the task's own.

    Raises:
      TrainingError: two of them give the same name.
    """
    own = task.evaluators if evaluators is None else evaluators
    found: dict[str, Reading] = {}
    for source in (*task.metrics.values(), *own.values()):
        if twice := found.keys() & source.readings.keys():
            raise TrainingError(f"two metrics are called {min(twice)!r}")
        found |= source.readings
    return found


def score(task: Task, numbers: Mapping[str, Any], evaluators: Mapping[str, Evaluator] | None = None) -> float | None:
    """The number that ranks checkpoints, turned so that higher is better; None where the task ranks none.

    Raises:
      TrainingError: `task.best` is not among `numbers`, is an array, or neither direction of it is better.
    """
    if not task.best:
        return None
    known = readings(task, evaluators)
    if task.best not in numbers or task.best not in known:
        hint = nearest(task.best, [name for name in numbers if name in known] or known)
        raise TrainingError(f"the task ranks checkpoints by {task.best!r}, which it does not compute: {hint}")
    if known[task.best].each:
        raise TrainingError(f"the task ranks checkpoints by {task.best!r}, which is an array and not one number")
    if known[task.best].better is None:
        raise TrainingError(f"the task ranks checkpoints by {task.best!r}, but neither direction of it is better")
    return known[task.best].score(numbers[task.best])


def makes_nothing(condition: dict) -> dict:
    """The `draw` of an evaluation without samples. Raises TrainingError: an evaluator asks for them."""
    raise TrainingError("an evaluator judges samples, but this evaluation makes none")


class Evaluation:
    """The numbers of one pass over one split: sums in float64 and sinks. `add` every batch, then `compute`.

    Args:
      evaluators: those of the set; None: the task's own.
      source: the split, for the sinks.
      draw: makes samples with the state that is evaluated.
    """

    def __init__(
        self,
        task: Task,
        source: Any,
        evaluators: Mapping[str, Evaluator] | None = None,
        draw: Draw = makes_nothing,
    ):
        self._task, self._readings = task, readings(task, evaluators)
        self._evaluators = task.evaluators if evaluators is None else evaluators
        self._sinks = {name: evaluator.start(source, draw) for name, evaluator in self._evaluators.items()}
        self._sums = None

    def add(self, sums: dict[str, Any], rows: dict[str, np.ndarray]) -> None:
        """What the evaluate step gave for a batch, on the host; rows of padding are cut off here."""
        sums = jax.tree.map(_widen, sums)
        self._sums = sums if self._sums is None else jax.tree.map(np.add, self._sums, sums)
        if not rows:  # no evaluator needs outputs
            return
        mask = rows["mask"]
        for name, sink in self._sinks.items():
            sink.add(rows["id"][mask], {need: rows[need][mask] for need in self._evaluators[name].needs})

    def compute(self) -> dict[str, Any]:
        """{name: number or array}.

        Raises:
          TrainingError: a number has no Reading, one has the Reading of an array or the other way round, or the split
            is empty.
        """
        if self._sums is None:
            raise TrainingError("the split to evaluate has no examples")
        results = compute(self._task, self._sums)
        for sink in self._sinks.values():
            results |= sink.compute()
        results = {name: x.item() if isinstance(x, np.generic) else x for name, x in results.items()}
        for name, value in results.items():
            number, reading = isinstance(value, float | int), self._readings.get(name)
            if number and reading is None:
                raise TrainingError(f"the number {name!r} has no Reading")
            if reading is not None and reading.each is number:
                what = "a number, but its Reading is" if number else "an array, but its Reading is not"
                raise TrainingError(f"{name!r} is {what} that of each entry of an array")
        return results


def evaluate_set(
    step: Callable[[Any], tuple[dict, dict]],
    feeds: Iterable[Any],
    devices: Any,
    *,
    task: Task,
    source: Any,
    evaluators: Mapping[str, Evaluator] | None = None,
    draw: Draw = makes_nothing,
) -> dict[str, Any]:
    """One pass over a split -> {name: number or array}, the same on every process.

    Args:
      step: placed feed -> (sums, rows), the placed evaluate step with everything else given.
      feeds: placed feeds that hold every example of the split once.
      devices: Replicas or MeshDevices.
      source: the split, for the evaluators.
      evaluators: those of the set; None: the task's own. `step` must have been made with their `needs`.
      draw: makes samples with the state that is evaluated.
    """
    evaluation = Evaluation(task, source, evaluators, draw)
    for sums, rows in _on_host(step, feeds, devices):
        evaluation.add(sums, rows)
    return evaluation.compute()


def evaluate_slots(
    step: Callable[[Any], tuple[dict, dict]],
    feeds: Iterable[Any],
    devices: Any,
    draws: Mapping[int, Draw],
    *,
    task: Task,
    source: Any,
    evaluators: Mapping[str, Evaluator] | None = None,
) -> dict[int, dict[str, Any]]:
    """The same for several runs in one program: {place: {name: number or array}}.

    Args:
      devices: Slots; sums and rows have a leading axis, the slot.
      draws: of the slots that hold a run, place -> what makes samples with its state.
    """
    evaluations = {place: Evaluation(task, source, evaluators, draw) for place, draw in draws.items()}
    for found in _on_host(step, feeds, devices):
        for place, evaluation in evaluations.items():
            evaluation.add(*jax.tree.map(lambda x, place=place: x[place], found))
    return {place: evaluation.compute() for place, evaluation in evaluations.items()}


def compute(task: Task, sums: dict[str, Any]) -> dict[str, Any]:
    """The task's metrics from their sums: {name: number or array}."""
    results = {}
    for name, metric in task.metrics.items():
        results |= metric.compute(sums[name])
    return results


def _on_host(step, feeds, devices) -> Iterator[tuple[dict, dict]]:
    """(sums, rows) of each feed; a feed is dispatched before the host reads the one before, so devices do not idle."""
    last = None
    for found in map(step, feeds):
        if last is not None:
            yield _fetched(last, devices)
        last = found
    if last is not None:
        yield _fetched(last, devices)


def _fetched(found, devices):
    sums, rows = found
    return devices.get(sums), devices.get_rows(rows) if rows else {}


def _widen(x):
    """float64, in which adding up many batches loses nothing; integers become int64."""
    return x.astype(np.int64 if np.issubdtype(x.dtype, np.integer) else np.float64)
