"""A run: the verbs of an experiment. Train, resume, evaluate, predict, sample."""

import contextlib
import functools
import json
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from experiments.build.memory import Memory, opening, recall
from experiments.build.parts import Parts
from experiments.errors import PageError
from experiments.evaluation.evaluations import Evaluations
from experiments.evaluation.snapshots import Snapshots, blank_fields, save_gifs, save_snapshot
from experiments.pages.stored import READINGS, STORED, SUMMARY, canonical, check_stored, hyperparameters
from experiments.runs.provenance import note, origin
from experiments.runs.workdir import locked
from experiments.terminal import drawing
from models.counting import count_macs
from training import loop, parallel
from training.atomic import replace
from training.checkpoint import Checkpoints, has_checkpoints
from training.errors import TrainingError
from training.evaluate import makes_nothing, score, variables
from training.journal import Journal
from training.metrics.readings import RUN, STEP, Reading
from training.records import Records, plain
from training.step import TrainState
from training.stop import StopSignal
from training.task import check_asked

Watch = Callable[[int, dict[str, float]], None] | None
Opened = tuple[int, Callable[[], TrainState], Journal]


def build(page: ConfigDict, workdir: str | pathlib.Path | None = None, *, fork: bool = False):
    """The run that a page describes: `run.train()`, `run.evaluate()`, `run.predict(images)`.

    Args:
      page: from `experiments.pages.load` or `page`.
      workdir: where records and checkpoints go; a new temporary directory when None.
      fork: go on from the workdir's checkpoint although its page differs.

    Raises:
      PageError, DataError, TrainingError: one line on what does not fit.
    """
    workdir = pathlib.Path(workdir or tempfile.mkdtemp(prefix="fovea-"))
    memory = recall(workdir) if has_checkpoints(workdir) and not fork else None
    return Run(Parts(page, memory), workdir, fork)


class Run:
    """An experiment in its work directory. See `experiments.build.parts.build`."""

    def __init__(self, parts: Parts, workdir: pathlib.Path, fork: bool = False):
        self.parts, self.workdir, self.fork = parts, workdir, fork
        self.page, self.task, self.devices = parts.page, parts.task, parts.devices
        self.evaluations, self.snapshots = Evaluations(parts), Snapshots(parts)
        self._placed: tuple | None = None  # (step asked for, step restored, its state on the devices)

    def train(
        self, wrap: Callable | None = None, watch: Watch = None, quiet: bool = False, began: float | None = None
    ) -> dict[str, Any]:
        """Trains to the end, going on from the newest sound checkpoint, and returns the final numbers.

        Args:
          wrap: placed step -> what is called instead of it, to watch or time it.
          watch: called with (steps done, numbers) of every record; what it raises ends the run.
          quiet: whether nothing is printed or drawn: one run of many.
          began: `time.perf_counter()` from which the run's time counts; now, when None.

        Raises:
          TrainingError: the workdir is in use, of another page or not writable; a loss that is not finite.
          Interrupted: after SIGTERM or SIGINT; the state is saved.
        """
        began, parts, devices = began or time.perf_counter(), self.parts, self.devices
        with StopSignal() as stop, self.opened(began, watch, quiet) as (start, take, journal):
            state = devices.put_state(take())
            arguments = (parts.resident("train"), parts.placed_frozen, devices.put(parts.hyper))
            step = devices.train_step(parts.step, state)
            evaluate = functools.partial(self._draw_and_validate, journal.records)
            macs = functools.partial(_count_macs, step)
            placed = loop.Alone(wrap(step) if wrap else step, state, arguments, devices, evaluate, macs)
            progress = loop.Progress(journal, start)
            rate = dict(examples_per_step=self.page.train.batch_size, peak=parts.peak_operations)
            loop.train(placed, [progress], feeds=parts.feeds(start), stop=stop, **rate)
            self.checkpoints.wait()
            if progress.error:
                raise progress.error
            return self.finish(journal, draw=not quiet)

    @contextlib.contextmanager
    def opened(self, began: float, watch: Watch = None, quiet: bool = False) -> Iterator[Opened]:
        """The work directory, locked, of a run about to go on: (steps done, take, where its numbers go).

        take() gives the state on the host, once: nothing here keeps it, for it is as large as on the devices.

        Args:
          began: `time.perf_counter()` of when this was asked for: the run's wall time counts from there.
          watch: called with (steps done, numbers) of every record; what it raises ends the run.
          quiet: whether its records are not printed.
        """
        parts = self.parts
        _ = parts.source("train"), parts.feed
        for name, one in parts.sets.items():  # what is missing is an error now, not after hours
            self.evaluations.check(name)
            for evaluator in self.evaluations.measures(one.also).evaluators.values():
                evaluator.start(parts.source(name), makes_nothing)
        if parts.has("validation"):  # that the task computes the number that ranks checkpoints
            score(self.task, dict.fromkeys(self.evaluations.measures(()).readings, 0.0))
        _ = parts.frozen
        with locked(self.workdir) if parallel.is_main() else contextlib.nullcontext():
            self._check_page()
            (self.workdir / SUMMARY).unlink(missing_ok=True)
            found = self.checkpoints.restore(parts.abstract_state)
            resumes = found is not None
            start, *held, body = found or (0, parts.initial_state(), {"window": []})
            del found
            self.checkpoints.cut(start)
            self._remember(resumes)
            fixed = {"page": canonical(self.page), "origin": origin(self.page, body.get("origin"))}
            once = tuple(name for name, one in parts.sets.items() if not one.every)
            length = parts.intervals.steps
            records = Records(self.workdir, length, start, began, quiet, once) if parallel.is_main() else None
            if records:
                note(self.workdir)
                replace(self.workdir / READINGS, json.dumps(self._readings(), indent=1))
                records.track(self.page.track.to, self.page.track.project, hyperparameters(self.page))
                for line in parts.descriptions:
                    records.say(line)
            if records and resumes:
                records.say(f"resuming from step {start}")
            own = dict(describe=self._learning_rates, began=began) | ({"watch": watch} if watch else {})
            journal = Journal(parts.intervals, self.checkpoints, records, body["window"], fixed, **own)
            try:
                yield start, held.pop, journal
            finally:
                if records:
                    records.close()

    def evaluate(self, name: str = "test", step: int | None = None) -> dict[str, Any]:
        """The numbers of an evaluation set, or of a split, with checkpoint `step`, else the best, else the newest.

        A set without extra measures and a split get those of the test set.
        """
        state, step = self.placed(step)
        if self.parts.memory and name in self.parts.sets:
            self.parts.memory.check(name, self.parts.members(name), _warn)
        also = self.parts.sets["test"].also if "test" in self.parts.sets else ()
        return {"step": step, "weights": variables(state)[2], **self._measure(state, name, also)}

    def predict(self, images: np.ndarray, step: int | None = None, size: int | None = None) -> dict[str, np.ndarray]:
        """The task's outputs for `images` [N, H, W, C] uint8, of the data set's shape, [N, ...] each.

        Args:
          size: images per call of the network; by default the page's evaluation batch, or less for fewer images.
        """
        state, _ = self.placed(step)
        return self.snapshots.predict(state, blank_fields(self.parts, images), size)

    def sample(self, number: int, **asked) -> np.ndarray:
        """What the task makes, `number` times [N, ...]: images in [0, 1]; `asked` as in `make`."""
        return self.make(number, **asked)[self.task.makes.kind]

    def make(
        self,
        number: int,
        *,
        given: Mapping[str, np.ndarray] | None = None,
        seed: int = 0,
        step: int | None = None,
        **options,
    ) -> dict[str, np.ndarray]:
        """All that the task makes, `number` times [N, ...] each: boxes have labels and scores, images are in [0, 1].

        It is the same on any number of devices.

        Args:
          given: what is asked for by the names in the task's `makes.given`, [N or 1, ...] each; images uint8.
          options: of `makes.options`, such as `steps`.

        Raises:
          PageError, TrainingError: the task makes nothing, or not from what is given.
        """
        makes = self.task.makes
        if makes is None:
            raise PageError(f"task {self.page.task.name!r} makes nothing")
        check_asked(makes, given or {}, options)
        state, _ = self.placed(step)
        condition = {"id": np.arange(number, dtype=np.int32)}
        condition |= {name: np.broadcast_to(x, (number, *np.shape(x)[1:])) for name, x in (given or {}).items()}
        pictures = {name: x for name, x in condition.items() if name in makes.given and x.dtype == np.uint8}
        condition |= {name: np.asarray(x) for name, x in self.parts.prepare(pictures).items()}
        return self.snapshots.draw(state, condition, seed, options)

    def restore(self, step: int | None = None) -> tuple[TrainState, int, dict]:
        """(state on the host, step, stored body) of checkpoint `step`, else of the best, else of the newest."""
        found = self.checkpoints.restore(self.parts.abstract_state, self.checkpoints.best() if step is None else step)
        if found is None:
            raise TrainingError(f"no checkpoint in {self.workdir}: train first")
        step, state, body = found
        return state, step, body

    def placed(self, step: int | None = None) -> tuple[TrainState, int]:
        """(state on the devices, step) of checkpoint `step`, the best or the newest; read once while it stays that."""
        if step is None:
            step = self.checkpoints.best() or max(self.checkpoints.steps(), default=None)
        if self._placed is None or self._placed[0] != step:
            host, found, _ = self.restore(step)
            self._placed = step, found, self.devices.put_state(host)
        return self._placed[2], self._placed[1]

    @functools.cached_property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.workdir / "checkpoints", warn=_warn)

    def _measure(self, state, name, also=()):
        return self.evaluations.measure(state, name, functools.partial(self.snapshots.draw, state), also)

    def _draw_and_validate(self, records, state):
        """Shows what the state can draw, and measures it on the sets that are due."""
        done = int(self.devices.get(state.step))
        for name, draw in self.snapshots.take(state):
            with drawing(f"{name} of step {done}", _teller(records)):
                picture = draw()
                if records:
                    save_snapshot(name, picture, self.workdir, done, records)
        numbers = {name: self._measure(state, name) for name in self.due(done)}
        return self.ranked(numbers, state)

    def due(self, done: int) -> list[str]:
        """The sets that are measured after `done` steps; those of an interval also after the last step."""
        last = done == self.page.train.steps
        return [name for name, one in self.parts.sets.items() if one.every and (last or done % one.every == 0)]

    def ranked(
        self, numbers: Mapping[str, Mapping[str, Any]], state: TrainState
    ) -> tuple[dict[str, Any], float | None]:
        """The record of the sets measured, and the score by which the best checkpoint is kept: validation's."""
        scalars = {f"{name}/{k}": v for name, found in numbers.items() for k, v in found.items() if _scalar(v)}
        scalars |= {f"{name}/weights": variables(state)[2] for name in numbers}
        return scalars, score(self.task, numbers["validation"]) if "validation" in numbers else None

    def _readings(self) -> dict[str, dict[str, str | None]]:
        """How recorded numbers and arrays are read: name -> {"better": "max", "min" or null, "unit": text}."""
        return {name: {"better": one.better, "unit": one.unit} for name, one in self.readings().items()}

    def readings(self) -> dict[str, Reading]:
        """name -> Reading of what is recorded: "train/loss", "validation/accuracy", and arrays (`each`)."""
        prefixes = [""] if len(self.task.names) == 1 else [f"{player}/" for player in self.task.names]
        steps = {f"train/{prefix}{name}": reading for prefix in prefixes for name, reading in STEP.items()}
        return RUN | steps | self.evaluations.readings()

    def _learning_rates(self, done: int) -> dict[str, float]:
        """The learning rate of each player in the last step done, as the record names it."""
        single = len(self.task.names) == 1
        rates = self.parts.learning_rates(done - 1)
        return {f"train/{'' if single else player + '/'}learning_rate": rate for player, rate in rates.items()}

    def sibling(self, page: ConfigDict, workdir: pathlib.Path) -> "Run":
        """A run of a page that differs from this one in numbers alone: what is compiled is shared."""
        other = Run(self.parts.sibling(page), workdir)
        other.evaluations = self.evaluations.sibling(other.parts)
        other.snapshots = self.snapshots.sibling(other.parts)
        return other

    def finish(self, journal: Journal, draw: bool = True) -> dict[str, Any]:
        """Measures the sets that are measured once, with the best checkpoint by validation, else with the last one.

        Leaves `summary.json` in the work directory, and after it the pictures.
        """
        self._placed = None
        records, (state, step), steps = journal.records, self.placed(), self.page.train.steps
        found = {name: self._measure(state, name) for name, one in self.parts.sets.items() if not one.every}
        numbers = {f"{name}/{k}": v for name, one in found.items() for k, v in one.items()}
        scalars = {name: v for name, v in numbers.items() if _scalar(v) or isinstance(v, str)}
        lists = {name: plain(v) for name, v in numbers.items() if _list(v)}
        summary = {"step": step, "steps": steps, "weights": variables(state)[2], **scalars, **lists}
        if records:
            records.finish(steps, scalars)
            summary |= {"seconds": round(records.seconds, 1), "startup_seconds": journal.startup}
            summary |= {"readings": {k: v for k, v in self._readings().items() if k in summary}}
            summary |= journal.body["origin"]
            replace(self.workdir / SUMMARY, json.dumps({name: plain(x) for name, x in summary.items()}, indent=1))
        # matplotlib takes half a second, which the first step need not wait for
        from experiments.evaluation.figures import figures
        from training import pictures

        for name, make in figures(self, state, found.get("test", {})) if draw else ():
            with drawing(name, _teller(records)):
                picture = make()
                if records:
                    pictures.save(picture, self.workdir / f"{name}.png")
                    records.image(name, steps, pictures.pixels(picture))
        if records:
            with drawing("as a GIF", records.say):
                save_gifs(self.workdir)
        return summary

    def _check_page(self) -> None:
        """Stores the page; refuses another one than that of the checkpoints there are."""
        if self.checkpoints.steps() and not self.fork:
            check_stored(self.workdir, self.page)
        if parallel.is_main():
            replace(self.workdir / STORED, json.dumps(canonical(self.page), indent=1))

    def _remember(self, resumes: bool) -> None:
        """Stores what the data are; a run that resumes compares them with what they were. Raises PageError."""
        parts = self.parts
        members = {name: parts.members(name) for name in ("train", *parts.sets)}
        known = {name: x for name, x in members.items() if x is not None}
        memory = Memory(opening(self.page.data), parts.source("train").info, known)
        before = recall(self.workdir) if resumes and not self.fork else None
        if before:
            memory = before.resumed(memory, _warn if parallel.is_main() else lambda line: None)
        if parallel.is_main():
            for line in memory.trained_on() if not before else ():
                _warn(line)
            memory.store(self.workdir)


def _teller(records: Records | None) -> Callable[[str], None]:
    """Prints a line where this process has the records of the run."""
    return records.say if records else lambda line: None


def _scalar(value) -> bool:
    return isinstance(value, float | int)


def _list(value) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind == "f"


def _count_macs(function, *arguments) -> int:
    try:
        return count_macs(function, *arguments)
    except ValueError:  # products in a loop of unknown length, such as L-BFGS's line search
        return 0


def _warn(line: str) -> None:
    print(f"fovea: {line}", file=sys.stderr)
