"""The loop: feeds the one step, and at intervals records, evaluates and saves. It fetches nothing in between."""

import dataclasses
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

AHEAD = 4  # from so many to twice as many dispatches are under way: that hides the host and bounds the memory


class Interrupted(Exception):
    """The run was asked to stop, and has saved."""


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


class StopSignal:
    """True once SIGTERM or SIGINT came (on any process); a second signal stops at once."""

    def __enter__(self):
        self._received = False
        self._before = {s: signal.signal(s, self._handle) for s in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number, frame):
        if self._received:
            raise KeyboardInterrupt
        self._received = True

    def __call__(self, boundary: bool) -> bool:
        """Asked after each dispatch; several processes agree at log boundaries only, where all of them ask."""
        if jax.process_count() == 1:
            return self._received
        return boundary and bool(multihost_utils.process_allgather(np.array(self._received)).any())


def train(
    *,
    step: Callable,
    state: Any,
    start: int,
    window: list[dict[str, float]],
    feeds: Iterator[Any],
    arguments: tuple,
    devices: Any,
    intervals: Intervals,
    records: Records | None,
    evaluate: Callable[[Any], tuple[dict[str, float], float | None]],
    checkpoints: Checkpoints,
    body: dict,
    describe: Callable[[int], dict[str, float]],
    stop: Callable[[bool], bool],
    examples_per_step: int,
    count_macs: Callable[..., int],
) -> Any:
    """Trains from step `start` to the end and returns the state.

    Args:
      step: (state, resident, feed, frozen, hyper) -> (state, metrics of `steps_per_call` steps).
      window: metrics of the steps since the last log boundary, as the checkpoint has them.
      feeds: placed feeds, from step `start` on.
      arguments: (resident, frozen, hyper), placed.
      evaluate: state -> (metrics, score by which the best checkpoint is kept).
      body: JSON that goes into every checkpoint.
      describe: steps done -> further numbers for the record (the learning rate).
      stop: whether to save and raise Interrupted.
      count_macs: arguments of the step -> its multiply-adds, 0 where they cannot be counted. It traces the step, which
        the first call then need not do again.

    Raises:
      TrainingError: a loss or parameter that is not finite, naming the step; the last good checkpoint stays.
      Interrupted: after `stop`.
    """
    resident, frozen, hyper = arguments
    recent, flying = [], []
    clock, waited, since, macs = time.perf_counter(), 0.0, start, 0

    def collect(done):
        """Brings the metrics of recent steps to the host, and looks whether losses and parameters are finite."""
        for number in jax.tree.leaves(recent):
            number.copy_to_host_async()
        for metrics in recent:
            host = {name: np.atleast_1d(values) for name, values in devices.get(metrics).items()}
            calls = range(intervals.steps_per_call)
            window.extend({name: float(values[i]) for name, values in host.items()} for i in calls)
        first = done - len(recent) * intervals.steps_per_call + 1
        for i, metrics in enumerate(window[len(window) - (done - first + 1) :]):
            for name, value in metrics.items():
                # The norm tells of parameters that the last update broke, before a loss does: they must not be saved.
                if name.endswith(("loss", "parameter_norm")) and not math.isfinite(value):
                    checkpoints.wait()
                    kept = checkpoints.steps()
                    raise TrainingError(
                        f"{name} is {value} at step {first + i}: the run stops; "
                        + (f"the last good checkpoint is step {kept[-1]}" if kept else "nothing was saved yet")
                        + " (--debug shows where it came from)"
                    )
        recent.clear()

    if start % intervals.steps_per_call:  # a run that was forked
        raise TrainingError(
            f"step {start} to go on from is no multiple of train.steps_per_call={intervals.steps_per_call}"
        )
    for done in range(start + intervals.steps_per_call, intervals.steps + 1, intervals.steps_per_call):
        before = time.perf_counter()
        feed = next(feeds)
        waited += time.perf_counter() - before
        compiles = done == start + intervals.steps_per_call
        if compiles:
            macs = count_macs(state, resident, feed, frozen, hyper) // intervals.steps_per_call
        state, metrics = step(state, resident, feed, frozen, hyper)
        if compiles:  # which is not timed
            jax.block_until_ready(metrics)
            clock, waited, since = time.perf_counter(), 0.0, done
        recent.append(metrics)
        flying.append(metrics)
        if len(flying) == 2 * AHEAD:  # woken after each step, the host would take time from the step on a CPU
            jax.block_until_ready(flying[AHEAD - 1])
            del flying[:AHEAD]

        last = done == intervals.steps
        logs = last or done % intervals.log == 0
        evaluates = last or done % intervals.evaluate == 0
        stops = stop(logs)
        due = last or done % intervals.checkpoint == 0
        saves = due or stops
        if logs or evaluates or saves:
            collect(done)
        if logs:
            means = {f"train/{k}": math.fsum(m[k] for m in window) / len(window) for k in window[0]}
            window.clear()
            elapsed = time.perf_counter() - clock
            rate = (done - since) / elapsed
            speed = {"time/examples_per_s": rate * examples_per_step, "time/wait_share": waited / elapsed}
            if macs:
                speed["time/macs_per_s"] = rate * macs
            if records:
                records.write(done, {**means, **describe(done), **speed})
            clock, waited, since = time.perf_counter(), 0.0, done
        paused, score = time.perf_counter(), None
        if evaluates:
            numbers, score = evaluate(state)
            if records and numbers:
                records.write(done, numbers)
        if saves:
            # A run that was interrupted ends with the same best checkpoint as one that was not.
            checkpoints.save(done, devices.get(state), {**body, "window": window}, score if due else None)
        clock += time.perf_counter() - paused  # neither counts as training time
        if records:
            records.advance(done)
        if stops and not last:
            checkpoints.wait()
            raise Interrupted(done)
    checkpoints.wait()
    return state
