"""The journal of a run: when it logs, evaluates and saves, and what it then records and keeps."""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from training.checkpoint import Checkpoints
from training.errors import TrainingError
from training.records import Records
from training.step import COUNTED


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
        """The first step of this process is done; further calls do nothing."""
        if self.startup is None:
            self.startup = round(time.perf_counter() - self.began, 2)
            if self.records:
                self.records.say(f"first step after {self.startup:.1f} s")

    def advance(self, done: int) -> None:
        """Shows how many steps are done."""
        if self.records:
            self.records.advance(done)

    def add(self, step: int, metrics: dict[str, float]) -> None:
        """The metrics of a step. Raises TrainingError, naming it, unless its losses and parameters are finite.

        Those of a player for which nothing in the batch counted are left out: they measure nothing.
        """
        void = tuple(name.removesuffix(COUNTED) for name, x in metrics.items() if name.endswith(COUNTED) and not x)
        kept = {name: x for name, x in metrics.items() if not name.endswith(COUNTED) and not name.startswith(void)}
        self.window.append(kept)
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
            means = {f"train/{name}": value for name, value in _means(self.window).items()}
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


def _means(window: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of every metric over the steps that have it."""
    names = dict.fromkeys(name for metrics in window for name in metrics)
    values = {name: [metrics[name] for metrics in window if name in metrics] for name in names}
    return {name: math.fsum(each) / len(each) for name, each in values.items()}
