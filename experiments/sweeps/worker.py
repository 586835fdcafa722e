"""A worker of a sweep: takes trials, trains them, and reports their outcomes.

Trials that differ only in numbers are trained as one program, by `experiments.runs.together`; the others one by one.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
from ml_collections import ConfigDict

from experiments.build.parts import Parts
from experiments.errors import PageError
from experiments.runs.run import Run
from experiments.runs.together import Program, Trial, signature
from experiments.sweeps.sweep import Sweep
from experiments.terminal import say
from training import loop
from training.errors import TrainingError
from training.metrics.readings import Reading
from training.step import COUNTED

# Compiled programs stay in the process. Each takes some hundred memory maps, and Linux allows 65,530.
GROUPS = 16


@dataclasses.dataclass
class Group:
    """Trials that differ only in numbers, and the program that trains them."""

    first: Run  # what it has compiled serves all of them
    signature: dict[str, Any]
    program: Program | None = None

    def fits(self, page: ConfigDict) -> bool:
        return signature(page, self.first.parts.numbers) == self.signature


@dataclasses.dataclass
class Claimed:
    """A trial of optuna that this worker claimed, and its page."""

    trial: Any
    page: ConfigDict


class Worker:
    """Trains trials of a sweep until none is left.

    Args:
      slots: the most trials trained as one program; 1: each alone.
      show: called with (trial's number, steps done) while trials train, and with (number, None) when one has ended.
    """

    def __init__(self, sweep: Sweep, slots: int, show: Callable[[int, int | None], None] = lambda number, done: None):
        self.sweep, self.slots, self.show = sweep, slots, show
        self._groups: list[Group] = []
        self._waiting: list[Claimed] = []
        self._described: set[str] = set()

    def work(self, stop: Callable[[bool], bool]) -> None:
        """Raises Interrupted after `stop`; unfinished trials are saved, and another worker can resume them."""
        while (claimed := self._waiting.pop(0) if self._waiting else self._take()) is not None:
            if stop(True):
                for left in (claimed, *self._waiting):
                    self.sweep.release(left.trial)
                raise loop.Interrupted
            try:
                group = self._group(claimed)
            except Exception as error:  # a network may raise anything for its fields: only this trial fails
                self._ended(claimed, error)
                continue
            varied = [key for key in self.sweep.spaces if key == "train.seed" or key in group.first.parts.numbers]
            if self.slots > 1 and varied:
                group.program = group.program or Program(group.first, self.slots)
                try:
                    group.program.train(self._fitting(group, claimed), stop)
                except jax.errors.JaxRuntimeError as error:  # out of memory, most likely
                    line = str(error).strip().splitlines()[0]
                    raise TrainingError(f"{line} (--vectorize N: with fewer trials at a time?)") from error
            else:
                self._alone(self._trial(group, claimed))

    def _take(self) -> Claimed | None:
        """The next trial with a valid page; invalid ones are recorded as failed."""
        while (trial := self.sweep.take()) is not None:
            try:
                return Claimed(trial, self.sweep.page(trial))
            except PageError as error:
                self._ended(Claimed(trial, self.sweep.base), error)
        return None

    def _group(self, claimed: Claimed) -> Group:
        for group in self._groups:
            if group.fits(claimed.page):
                return group
        if len(self._groups) >= GROUPS:
            self._groups.clear()
            jax.clear_caches()
        run = Run(Parts(claimed.page), self.sweep.workdir(claimed.trial.number))
        _ = run.parts.abstract_state  # the network may raise here
        for line in run.parts.descriptions:
            if line not in self._described:
                say(line)
                self._described.add(line)
        self._groups.append(Group(run, signature(claimed.page, run.parts.numbers)))
        return self._groups[-1]

    def _fitting(self, group: Group, first: Claimed) -> Iterator[Trial]:
        """Trials of a group, `first` first. At most `slots` trials of other groups are claimed meanwhile."""
        yield self._trial(group, first)
        while True:
            fitting = next((claimed for claimed in self._waiting if group.fits(claimed.page)), None)
            if fitting:
                self._waiting.remove(fitting)
                yield self._trial(group, fitting)
            elif len(self._waiting) < self.slots and (claimed := self._take()) is not None:
                self._waiting.append(claimed)
            else:
                return

    def _trial(self, group: Group, claimed: Claimed) -> Trial:
        plan, number = self.sweep.plan, claimed.trial.number

        def watch(done, numbers):
            self.show(number, done)
            if plan.metric in numbers:
                prune = self.sweep.report(claimed.trial, done, numbers[plan.metric])
                if prune and done < claimed.page.train.steps:
                    raise loop.Pruned

        run = group.first.sibling(claimed.page, self.sweep.workdir(number))
        return Trial(run, watch, lambda outcome: self._ended(claimed, outcome), draw=False)

    def _alone(self, trial: Trial) -> None:
        try:
            outcome = trial.run.train(watch=trial.watch, quiet=True)
        except loop.Interrupted as error:
            trial.ended(error)
            raise
        except Exception as error:  # such as out of memory: only this trial fails
            outcome = error
        trial.ended(outcome)

    def _ended(self, claimed: Claimed, outcome) -> None:
        if isinstance(outcome, loop.Interrupted):
            self.sweep.release(claimed.trial)
            return
        if isinstance(outcome, loop.Pruned):
            self.sweep.tell(claimed.trial, pruned=True)
        elif isinstance(outcome, Exception):
            lines = str(outcome).strip().splitlines() or [type(outcome).__name__]
            self.sweep.tell(claimed.trial, why=lines[0])
        else:
            self.sweep.tell(claimed.trial)
        self.sweep.write()
        self.show(claimed.trial.number, None)


def reported(run: Run) -> dict[str, Reading]:
    """name -> Reading of every number that a run records while it trains."""
    parts = run.parts
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), parts.resident("train"))
    feed = next(parts.host_feeds(0))
    _, metrics = jax.eval_shape(parts.step, parts.abstract_state, shapes, feed, parts.frozen, parts.hyper)
    own = {f"train/{name}": Reading() for name in metrics if not name.endswith(COUNTED)}
    measured = {name for name, one in parts.sets.items() if one.every}
    known = {name: reading for name, reading in run.readings().items() if not reading.each}
    return own | {name: reading for name, reading in known.items() if name in own or name.partition("/")[0] in measured}
