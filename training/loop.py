"""The loop: feeds the one step, and at intervals records, evaluates and saves. It fetches nothing in between."""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import jax
import numpy as np

from training.errors import TrainingError
from training.hardware import peak_memory, release_memory
from training.journal import Journal

AHEAD = 4  # keep 4-8 dispatches in flight to hide host latency and bound memory


class Interrupted(Exception):
    """The run was asked to stop, and has saved."""

    ended = "interrupted"


class Pruned(Exception):
    """A sweep has stopped the run early."""

    ended = "pruned"


@dataclasses.dataclass(eq=False)
class Progress:
    """One run that is trained, alone or with others.

    Attributes:
      journal: where its numbers and states go, and how often.
      done: steps done.
      error: what has ended it before its last step.
    """

    journal: Journal
    done: int
    error: Exception | None = None

    @property
    def ended(self) -> bool:
        return self.error is not None or self.done >= self.journal.intervals.steps


class Placed(Protocol):
    """The states of N runs on the devices."""

    def count_macs(self, feed: Any) -> int:
        """Multiply-adds of a call of the step, 0 where they cannot be counted."""

    def advance(self, feed: Any) -> Any:
        """Dispatches the step; returns the metrics of `steps_per_call` steps, on the devices."""

    def numbers(self, recent: list[Any]) -> list[Iterable[dict[str, Any]]]:
        """What the metrics of recent calls are on the host: for each run, for each call, name -> number or array."""

    def evaluate(self, n: int) -> tuple[dict[str, float], float | None]:
        """Of run n: (metrics, score by which the best checkpoint is kept)."""

    def state(self, n: int) -> Any:
        """The state of run n, on the host."""


class Alone:
    """One run on all devices.

    Args:
      step: (state, resident, feed, frozen, hyper) -> (state, metrics of `steps_per_call` steps), placed.
      arguments: (resident, frozen, hyper), placed.
      evaluate: state -> (metrics, score by which the best checkpoint is kept).
      count_macs: arguments of the step -> its multiply-adds. It traces the step, so the first call need not.
    """

    def __init__(
        self,
        step: Callable,
        state: Any,
        arguments: tuple,
        devices: Any,
        evaluate: Callable,
        count_macs: Callable[..., int] = lambda *arguments: 0,
    ):
        self._step, self._state, self._arguments = step, state, arguments
        self._devices, self._evaluate, self._count_macs = devices, evaluate, count_macs

    def count_macs(self, feed):
        resident, frozen, hyper = self._arguments
        return self._count_macs(self._state, resident, feed, frozen, hyper)

    def advance(self, feed):
        resident, frozen, hyper = self._arguments
        self._state, metrics = self._step(self._state, resident, feed, frozen, hyper)
        return metrics

    def numbers(self, recent):
        if jax.default_backend() != "cpu":  # whose arrays the host reads where they are
            for number in jax.tree.leaves(recent):
                number.copy_to_host_async()
        # One call after the other: the host reads the first while the devices compute the last.
        return [map(self._devices.get, recent)]

    def evaluate(self, n):
        return self._evaluate(self._state)

    def state(self, n):
        return self._devices.get(self._state)


class Clock:
    """Seconds spent in training, without pauses, and the part of them spent waiting for data."""

    def __init__(self):
        self._began, self._waited, self._paused = time.perf_counter(), 0.0, None

    def read(self) -> tuple[float, float]:
        """(seconds of training, seconds of waiting) since the clock was made."""
        return (self._paused or time.perf_counter()) - self._began, self._waited

    @contextlib.contextmanager
    def waiting(self):
        before = time.perf_counter()
        yield
        self._waited += time.perf_counter() - before

    @contextlib.contextmanager
    def paused(self):
        """Time in this context does not count."""
        self._paused = time.perf_counter()
        try:
            yield
        finally:
            self._began += time.perf_counter() - self._paused
            self._paused = None


class InFlight:
    """The dispatches in flight, at most twice AHEAD."""

    def __init__(self):
        self._metrics = []

    def add(self, metrics: Any) -> None:
        """Adds a dispatch by its metrics, and waits if there are too many."""
        self._metrics.append(metrics)
        if len(self._metrics) == 2 * AHEAD:  # waking the host after each step would take time from the step on a CPU
            jax.block_until_ready(self._metrics[AHEAD - 1])
            del self._metrics[:AHEAD]


def train(
    placed: Placed,
    runs: Sequence[Progress],
    *,
    feeds: Iterator[Any],
    stop: Callable[[bool], bool],
    examples_per_step: int,
    peak: float | None = None,
) -> None:
    """Trains the runs, of equal intervals, until the first of them ends.

    A run ends after its last step, or by an error that is kept in its `error`: TrainingError for a loss or parameter
    that is not finite, naming the step (the last good checkpoint stays); Pruned; Interrupted.

    Args:
      placed: their states.
      feeds: placed feeds of all runs, from the step after `done` on.
      stop: whether to save all runs and end them.
      examples_per_step: of each run.
      peak: operations/s that all devices can do at most; None: unknown.

    Raises:
      TrainingError: a run has done a number of steps that is not a multiple of the steps per call.
    """
    intervals = runs[0].journal.intervals
    calls = intervals.steps_per_call
    for run in runs:
        if run.done % calls:  # it was forked
            raise TrainingError(f"cannot resume at step {run.done}: not a multiple of train.steps_per_call={calls}")
    recent, in_flight, clock, macs = [], InFlight(), Clock(), None
    marks = {}  # of each run when its speed was last recorded: (steps done, seconds of training, of waiting)

    def speed(run):
        before, now = marks[id(run)], (run.done, *clock.read())
        steps, seconds, waited = (b - a for a, b in zip(before, now, strict=True))
        marks[id(run)] = now
        if not steps:  # the first dispatch compiles, and is not timed
            return {}
        found = {"time/examples_per_s": steps * examples_per_step / seconds, "time/wait_share": waited / seconds}
        if macs:
            found["time/macs_per_s"] = steps * macs / seconds
        if macs and peak:
            found["time/utilisation"] = 2 * found["time/macs_per_s"] / peak
        return found | {"memory/peak_mb": peak_memory() / 2**20}

    def settle(n, run, numbers, stops):
        first = run.done - len(recent) * calls + 1
        for call, metrics in enumerate(numbers):
            host = {name: np.ravel(values) for name, values in metrics.items()}
            for name, values in host.items():
                if len(values) != calls:
                    raise TrainingError(f"the metric {name!r} of a step is not one number, but {len(values) // calls}")
            for i in range(calls):
                run.journal.add(first + call * calls + i, {name: float(values[i]) for name, values in host.items()})
        if stops or intervals.pauses(run.done):
            own = dict(evaluate=functools.partial(placed.evaluate, n), state=functools.partial(placed.state, n))
            with clock.paused():
                run.journal.settle(run.done, speed=functools.partial(speed, run), stops=stops, **own)
        if stops and not run.ended:
            raise Interrupted(run.done)

    while not any(run.ended for run in runs):
        with clock.waiting():
            feed = next(feeds)
        compiles = macs is None
        if compiles:
            macs = placed.count_macs(feed) // calls
        metrics = placed.advance(feed)
        for run in runs:
            run.done += calls
        if compiles:  # compilation is not timed
            jax.block_until_ready(metrics)
            release_memory()
            for run in runs:
                run.journal.started()
                marks[id(run)] = (run.done, *clock.read())
        recent.append(metrics)
        in_flight.add(metrics)
        stops = stop(any(intervals.logs(run.done) for run in runs))
        if stops or any(intervals.pauses(run.done) for run in runs):
            # Reading the metrics waits for the devices: that is training, not a pause.
            for n, (run, numbers) in enumerate(zip(runs, placed.numbers(recent), strict=True)):
                try:
                    settle(n, run, numbers, stops)
                except (TrainingError, Pruned, Interrupted) as error:
                    run.error = error
            recent.clear()
        for run in runs:
            run.journal.advance(run.done)
