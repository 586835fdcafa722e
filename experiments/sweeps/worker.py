"""A worker of a sweep: takes trials, trains them, and tells what came of them.

Trials that differ in numbers alone are trained as one program, by `experiments.runs.together`; the others one by one.
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
from training import loop
from training.errors import TrainingError
from training.metrics.readings import Reading

# A program once compiled stays in its process, in some hundreds of memory maps, of which Linux allows 65,530.
KINDS = 16


@dataclasses.dataclass
class Kind:
    """Trials that differ in numbers alone."""

    first: Run  # what it has compiled serves all of them
    signature: dict[str, Any]
    program: Program | None = None

    def fits(self, page: ConfigDict) -> bool:
        return signature(page, self.first.parts.numbers) == self.signature


@dataclasses.dataclass
class Taken:
    """A trial of optuna's that this worker has taken, and its page."""

    trial: Any
    page: ConfigDict


class Crew:
    """Works on a sweep until nothing is left to do.

    Args:
      slots: how many trials at most are trained as one program; 1: each alone.
      show: called with (trial's number, steps done) as trials go on, and with (number, None) when one has ended.
    """

    def __init__(self, sweep: Sweep, slots: int, show: Callable[[int, int | None], None] = lambda number, done: None):
        self.sweep, self.slots, self.show = sweep, slots, show
        self._kinds: list[Kind] = []
        self._waiting: list[Taken] = []

    def work(self, stop: Callable[[bool], bool]) -> None:
        """Raises Interrupted after `stop`; what was under way is saved, for whoever goes on."""
        while (taken := self._waiting.pop(0) if self._waiting else self._take()) is not None:
            if stop(True):
                for left in (taken, *self._waiting):
                    self.sweep.release(left.trial)
                raise loop.Interrupted
            try:
                kind = self._kind(taken)
            except Exception as error:  # whatever a network has against its fields: this trial's end, and no other's
                self._ended(taken, error)
                continue
            varied = [key for key in self.sweep.spaces if key == "train.seed" or key in kind.first.parts.numbers]
            if self.slots > 1 and varied:
                kind.program = kind.program or Program(kind.first, self.slots)
                try:
                    kind.program.train(self._alike(kind, taken), stop)
                except jax.errors.JaxRuntimeError as error:  # of memory, in all likelihood
                    line = str(error).strip().splitlines()[0]
                    raise TrainingError(f"{line} (--vectorize N: with fewer trials at a time?)") from error
            else:
                self._alone(self._trial(kind, taken))

    def _take(self) -> Taken | None:
        """The next trial whose values go together; the others have failed."""
        while (trial := self.sweep.take()) is not None:
            try:
                return Taken(trial, self.sweep.page(trial))
            except PageError as error:
                self._ended(Taken(trial, self.sweep.base), error)
        return None

    def _kind(self, taken: Taken) -> Kind:
        for kind in self._kinds:
            if kind.fits(taken.page):
                return kind
        if len(self._kinds) >= KINDS:
            self._kinds.clear()
            jax.clear_caches()
        run = Run(Parts(taken.page), self.sweep.workdir(taken.trial.number))
        _ = run.parts.abstract_state  # which a network may refuse
        self._kinds.append(Kind(run, signature(taken.page, run.parts.numbers)))
        return self._kinds[-1]

    def _alike(self, kind: Kind, first: Taken) -> Iterator[Trial]:
        """Trials of a kind, `first` first. Of other kinds no more are taken than there are slots."""
        yield self._trial(kind, first)
        while True:
            fitting = next((taken for taken in self._waiting if kind.fits(taken.page)), None)
            if fitting:
                self._waiting.remove(fitting)
                yield self._trial(kind, fitting)
            elif len(self._waiting) < self.slots and (taken := self._take()) is not None:
                self._waiting.append(taken)
            else:
                return

    def _trial(self, kind: Kind, taken: Taken) -> Trial:
        plan, number = self.sweep.plan, taken.trial.number

        def watch(done, numbers):
            self.show(number, done)
            if plan.metric in numbers:
                hopeless = self.sweep.report(taken.trial, done, numbers[plan.metric])
                if hopeless and done < taken.page.train.steps:
                    raise loop.Pruned

        run = kind.first.sibling(taken.page, self.sweep.workdir(number))
        return Trial(run, watch, lambda outcome: self._ended(taken, outcome), draw=False)

    def _alone(self, trial: Trial) -> None:
        try:
            outcome = trial.run.train(watch=trial.watch, quiet=True)
        except loop.Interrupted as error:
            trial.ended(error)
            raise
        except Exception as error:  # memory that does not suffice, say: this trial's, and not the others' end
            outcome = error
        trial.ended(outcome)

    def _ended(self, taken: Taken, outcome) -> None:
        if isinstance(outcome, loop.Interrupted):
            self.sweep.release(taken.trial)
            return
        if isinstance(outcome, loop.Pruned):
            self.sweep.tell(taken.trial, pruned=True)
        elif isinstance(outcome, Exception):
            lines = str(outcome).strip().splitlines() or [type(outcome).__name__]
            self.sweep.tell(taken.trial, why=lines[0])
        else:
            self.sweep.tell(taken.trial)
        self.sweep.write()
        self.show(taken.trial.number, None)


def reported(run: Run) -> dict[str, Reading]:
    """name -> Reading of every number that a run records while it trains."""
    parts = run.parts
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), parts.resident("train"))
    feed = next(parts.host_feeds(0))
    _, metrics = jax.eval_shape(parts.step, parts.abstract_state, shapes, feed, parts.frozen, parts.hyper)
    own = {f"train/{name}": Reading() for name in metrics}
    measured = {name for name, one in parts.sets.items() if one.every}
    known = run.readings()
    return own | {name: reading for name, reading in known.items() if name in own or name.partition("/")[0] in measured}
