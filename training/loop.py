"""The loop: feeds the one step, and at intervals records, evaluates and saves. It fetches nothing in between."""

import contextlib
import dataclasses
import functools
import math
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from training.checkpoint import Checkpoints
from training.errors import TrainingError
from training.records import Records

AHEAD = 4  # keep 4-8 dispatches in flight to hide host latency and bound memory


class Interrupted(Exception):
    """The run was asked to stop, and has saved."""

    ended = "interrupted"


class Pruned(Exception):
    """A sweep has stopped the run early."""

    ended = "pruned"


@dataclasses.dataclass(frozen=True)
class Intervals:
    """How long to train and how often to do what, in steps."""

    steps: int
    steps_per_call: int
    log: int
    evaluate: int
    checkpoint: int

    def __post_init__(self):
        for name in ("steps", "log", "evaluate", "checkpoint"):
            value = getattr(self, name)
            if value < 1 or value % self.steps_per_call:
                key = "train.steps" if name == "steps" else f"train.{name}_every"
                raise TrainingError(
                    f"{key}={value} is not a positive multiple of train.steps_per_call={self.steps_per_call}"
                )

    def logs(self, done: int) -> bool:
        return done == self.steps or done % self.log == 0

    def evaluates(self, done: int) -> bool:
        return done == self.steps or done % self.evaluate == 0

    def saves(self, done: int) -> bool:
        return done == self.steps or done % self.checkpoint == 0

    def pauses(self, done: int) -> bool:
        """Whether anything is to be done once `done` steps are."""
        return self.logs(done) or self.evaluates(done) or self.saves(done)


class StopSignal:
    """True once SIGTERM or SIGINT has come (to any process); a second signal stops at once."""

    def __enter__(self):
        self._received = False
        self._before = {s: signal.signal(s, self._handle) for s in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)
            outer = getattr(handler, "__self__", None)
            if self._received and isinstance(outer, StopSignal):  # a run of several: it may have ended all the same
                outer._received = True

    def _handle(self, number, frame):
        if self._received:
            raise KeyboardInterrupt
        self._received = True

    def __call__(self, boundary: bool) -> bool:
        """Asked after each dispatch; several processes agree at log boundaries only, where all of them ask."""
        if jax.process_count() == 1:
            return self._received
        return boundary and bool(multihost_utils.process_allgather(np.array(self._received)).any())


@dataclasses.dataclass
class Journal:
    """Checks, averages and records the metrics of one run, and saves them with its state.

    Attributes:
      window: metrics of the steps since the last log boundary; at the start those in the checkpoint.
      body: JSON that goes into every checkpoint.
      describe: steps done -> further numbers for the record (the learning rate).
      watch: called with (steps done, numbers) of every record; what it raises ends the run.
      began: `time.perf_counter()` of when the run was asked for.
      startup: seconds from there to the end of the first step; None before.
    """

    intervals: Intervals
    checkpoints: Checkpoints
    records: Records | None
    window: list[dict[str, float]]
    body: dict
    describe: Callable[[int], dict[str, float]] = lambda done: {}
    watch: Callable[[int, dict[str, float]], None] = lambda done, numbers: None
    began: float = dataclasses.field(default_factory=time.perf_counter)
    startup: float | None = None

    def started(self) -> None:
        """The first step is done."""
        self.startup = round(time.perf_counter() - self.began, 2)
        if self.records:
            self.records.say(f"first step after {self.startup:.1f} s")

    def add(self, step: int, metrics: dict[str, float]) -> None:
        """The metrics of a step. Raises TrainingError, naming it, unless its losses and parameters are finite."""
        self.window.append(metrics)
        for name, value in metrics.items():
            # The norm shows that the last update broke the parameters, before a loss does: they must not be saved.
            if name.endswith(("loss", "parameter_norm")) and not math.isfinite(value):
                self.checkpoints.wait()
                kept = self.checkpoints.steps()
                raise TrainingError(
                    f"{name} is {value} at step {step}: the run stops; "
                    + (f"the last good checkpoint is step {kept[-1]}" if kept else "nothing was saved yet")
                    + " (--debug shows where it came from)"
                )

    def settle(
        self,
        done: int,
        *,
        speed: Callable[[], dict[str, float]],
        evaluate: Callable[[], tuple[dict[str, float], float | None]],
        state: Callable[[], Any],
        stops: bool,
    ) -> None:
        """Logs, evaluates and saves what is due after `done` steps; each callable is called only if it is needed.

        Args:
          speed: numbers about time for the record.
          evaluate: (metrics, score by which the best checkpoint is kept).
          state: the state on the host.
          stops: whether the run is interrupted, and is saved in any case.
        """
        if self.intervals.logs(done):
            means = {f"train/{k}": math.fsum(m[k] for m in self.window) / len(self.window) for k in self.window[0]}
            self.window.clear()
            self._write(done, {**means, **self.describe(done), **speed()})
        score, due = None, self.intervals.saves(done)
        if self.intervals.evaluates(done):
            numbers, score = evaluate()
            if numbers:
                self._write(done, numbers)
        if due or stops:
            # A run that was interrupted ends with the same best checkpoint as one that was not.
            self.checkpoints.save(done, state(), {**self.body, "window": self.window}, score if due else None)

    def _write(self, done, numbers):
        if self.records:
            self.records.write(done, numbers)
        self.watch(done, numbers)


class Clock:
    """Steps per second, and the share of the time spent waiting for data."""

    def __init__(self, done: int):
        self.restart(done)

    def restart(self, done: int) -> None:
        self._began, self._waited, self._since = time.perf_counter(), 0.0, done

    @contextlib.contextmanager
    def waiting(self):
        before = time.perf_counter()
        yield
        self._waited += time.perf_counter() - before

    @contextlib.contextmanager
    def paused(self):
        """Time in this context does not count."""
        before = time.perf_counter()
        yield
        self._began += time.perf_counter() - max(before, self._began)  # it may have been read meanwhile

    def read(self, done: int) -> tuple[float, float]:
        """(steps a second, share of the time spent waiting) since it was last read."""
        elapsed = time.perf_counter() - self._began
        rate, share = (done - self._since) / elapsed, self._waited / elapsed
        self.restart(done)
        return rate, share


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
    *,
    step: Callable,
    state: Any,
    start: int,
    feeds: Iterator[Any],
    arguments: tuple,
    devices: Any,
    journal: Journal,
    evaluate: Callable[[Any], tuple[dict[str, float], float | None]],
    stop: Callable[[bool], bool],
    examples_per_step: int,
    count_macs: Callable[..., int],
) -> Any:
    """Trains from step `start` to the end and returns the state.

    Args:
      step: (state, resident, feed, frozen, hyper) -> (state, metrics of `steps_per_call` steps).
      feeds: placed feeds, from step `start` on.
      arguments: (resident, frozen, hyper), placed.
      journal: where metrics and states go, and how often.
      evaluate: state -> (metrics, score by which the best checkpoint is kept).
      stop: whether to save and raise Interrupted.
      count_macs: arguments of the step -> its multiply-adds, 0 where they cannot be counted. It traces the step, so the
        first call need not.

    Raises:
      TrainingError: a loss or parameter that is not finite, naming the step; the last good checkpoint stays.
      Interrupted: after `stop`.
    """
    resident, frozen, hyper = arguments
    intervals, records, calls = journal.intervals, journal.records, journal.intervals.steps_per_call
    recent, in_flight, clock, macs = [], InFlight(), Clock(start), 0

    def collect(done):
        """Brings the metrics of recent steps to the host."""
        for number in jax.tree.leaves(recent):
            number.copy_to_host_async()
        first = done - len(recent) * calls + 1
        for n, metrics in enumerate(recent):
            host = {name: np.atleast_1d(values) for name, values in devices.get(metrics).items()}
            for i in range(calls):
                journal.add(first + n * calls + i, {name: float(values[i]) for name, values in host.items()})
        recent.clear()

    def speed():
        rate, waited = clock.read(done)
        counted = {"time/macs_per_s": rate * macs} if macs else {}
        return {"time/examples_per_s": rate * examples_per_step, "time/wait_share": waited, **counted}

    if start % calls:  # a run that was forked
        raise TrainingError(f"cannot resume at step {start}: not a multiple of train.steps_per_call={calls}")
    for done in range(start + calls, intervals.steps + 1, calls):
        with clock.waiting():
            feed = next(feeds)
        compiles = done == start + calls
        if compiles:
            macs = count_macs(state, resident, feed, frozen, hyper) // calls
        state, metrics = step(state, resident, feed, frozen, hyper)
        if compiles:  # compilation is not timed
            jax.block_until_ready(metrics)
            journal.started()
            clock.restart(done)
        recent.append(metrics)
        in_flight.add(metrics)
        stops = stop(intervals.logs(done))
        if intervals.pauses(done) or stops:
            collect(done)
            get, now = functools.partial(devices.get, state), functools.partial(evaluate, state)
            with clock.paused():
                journal.settle(done, speed=speed, evaluate=now, state=get, stops=stops)
        if records:
            records.advance(done)
        if stops and done < intervals.steps:
            journal.checkpoints.wait()
            raise Interrupted(done)
    journal.checkpoints.wait()
    return state
