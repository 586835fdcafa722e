"""A run: the verbs of an experiment. Train, resume, evaluate, predict, sample."""

import contextlib
import errno
import fcntl
import functools
import json
import os
import pathlib
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.build.parts import ROLES, Parts
from experiments.evaluation.gallery import Gallery, save_gifs, save_snapshots
from experiments.evaluation.judge import judge, make_referee
from experiments.pages.schema import LOCK, STORED, SUMMARY, canonical, check_stored, hyperparameters
from experiments.runs.provenance import note, origin
from models.counting import count_macs
from training import loop, parallel
from training.atomic import replace
from training.checkpoint import Checkpoints
from training.errors import TrainingError
from training.evaluate import compute, make_evaluate_step, make_predict_step, score, totals, variables
from training.records import Records, plain
from training.step import TrainState

Watch = Callable[[int, dict[str, float]], None] | None
Opened = tuple[int, TrainState, loop.Journal]


def build(page: ConfigDict, workdir: str | pathlib.Path | None = None, *, fork: bool = False):
    """The run that a page describes: `run.train()`, `run.evaluate()`, `run.predict(images)`.

    Args:
      page: from `experiments.pages.schema.load` or `page`.
      workdir: where records and checkpoints go; a new temporary directory when None.
      fork: go on from the workdir's checkpoint although its page differs.

    Raises:
      PageError, DataError, TrainingError: one line on what does not fit.
    """
    return Run(Parts(page), pathlib.Path(workdir or tempfile.mkdtemp(prefix="fovea-")), fork)


class Run:
    """An experiment in its work directory. See `experiments.build.parts.build`."""

    def __init__(self, parts: Parts, workdir: pathlib.Path, fork: bool = False):
        self.parts, self.workdir, self.fork = parts, workdir, fork
        self.page, self.task, self.devices = parts.page, parts.task, parts.devices

    # Verbs.

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
        with loop.StopSignal() as stop, self.opened(began, watch, quiet) as (start, host, journal):
            state = devices.put_state(host)
            arguments = (parts.resident("train"), devices.put(self.task.frozen()), devices.put(parts.hyper))
            step = devices.train_step(parts.step, state)
            macs = functools.partial(_count_macs, step)
            step = wrap(step) if wrap else step
            state = loop.train(
                step=step,
                state=state,
                start=start,
                feeds=parts.feeds(start),
                arguments=arguments,
                devices=devices,
                journal=journal,
                evaluate=functools.partial(self._draw_and_validate, journal.records),
                stop=stop,
                examples_per_step=self.page.train.batch_size,
                count_macs=macs,
            )
            return self.finish(journal, draw=not quiet)

    @contextlib.contextmanager
    def opened(self, began: float, watch: Watch = None, quiet: bool = False) -> Iterator[Opened]:
        """The work directory, locked, of a run about to go on: (steps done, state on the host, where its numbers go).

        Args:
          began: `time.perf_counter()` of when this was asked for: the run's wall time counts from there.
          watch: called with (steps done, numbers) of every record; what it raises ends the run.
          quiet: whether its records are not printed.
        """
        parts = self.parts
        for role in filter(parts.has, ROLES):  # a split that is not there is said now, and not after hours
            parts.source(role)
        if self.page.train.judge:
            _ = self.referee  # likewise
        with self._locked():
            self._check_page()
            (self.workdir / SUMMARY).unlink(missing_ok=True)
            restored = self.checkpoints.restore(parts.abstract_state)
            start, host, body = restored or (0, parts.initial_state(), {"window": []})
            self.checkpoints.cut(start)
            fixed = {"page": canonical(self.page), "origin": origin(self.page, body.get("origin"))}
            records = Records(self.workdir, parts.intervals.steps, start, began, quiet) if parallel.is_main() else None
            if records:
                note(self.workdir)
                records.track(self.page.track.to, self.page.track.project, hyperparameters(self.page))
            if records and restored:
                records.say(f"resuming from step {start}")
            own = dict(describe=self._learning_rates, began=began) | ({"watch": watch} if watch else {})
            journal = loop.Journal(parts.intervals, self.checkpoints, records, body["window"], fixed, **own)
            try:
                yield start, host, journal
            finally:
                if records:
                    records.close()

    def evaluate(self, role: str = "test", step: int | None = None) -> dict[str, Any]:
        """The task's metrics over a split, with the best checkpoint where there is one, else the newest."""
        state, step, _ = self.restore(step)
        return {
            "step": step,
            "weights": variables(state)[2],
            **self._measure_all(self.devices.put_state(state), role),
        }

    def predictions(self, role: str, step: int | None = None) -> dict[str, np.ndarray]:
        """The task's outputs for every example of a split, ordered by `id`."""
        state, _, _ = self.restore(step)
        params, stats, resident, frozen, key = self._arguments(self.devices.put_state(state), role)
        outputs = lambda feed: self._predict_step(params, stats, resident, feed, frozen, key)
        rows = [self.devices.get_rows(outputs(feed)) for feed in self.parts.evaluation_feeds(role)]
        rows = jax.tree.map(lambda *x: np.concatenate(x), *rows)
        rows = {name: x[rows["mask"]] for name, x in rows.items() if name != "mask"}
        order = np.argsort(rows["id"])
        return {name: x[order] for name, x in rows.items()}

    def predict(self, images: np.ndarray, step: int | None = None) -> dict[str, np.ndarray]:
        """The task's outputs for `images` [N, H, W, C] uint8, of the data set's shape."""
        state, _, _ = self.restore(step)
        n, ids = len(images), np.arange(len(images), dtype=np.int32)
        padding = -n % jax.device_count()
        feed = {"image": images, "label": np.zeros(n, np.int32) - 1, "id": ids, "mask": np.ones(n, bool)}
        feed = {name: np.concatenate([x, np.repeat(x[-1:], padding, 0)]) for name, x in feed.items()}
        params, stats, _, frozen, key = self._arguments(self.devices.put_state(state), None)
        outputs = self._predict_step(params, stats, self.devices.put({}), self.devices.put_batch(feed), frozen, key)
        return {name: x[:n] for name, x in self.devices.get_rows(outputs).items()}

    def sample(
        self,
        number: int,
        *,
        label: int | None = None,
        latent: np.ndarray | None = None,
        seed: int = 0,
        step: int | None = None,
        **static,
    ) -> np.ndarray:
        """`number` new images [N, H, W, C] in [0, 1], the first of `seed`: the same on any number of devices.

        Args:
          label: the class of all of them; else each class in turn where the network knows classes.
          latent: [N, D], the codes to start from, in place of random ones.
          static: what the task's `sample` takes besides, such as `steps`.
        """
        state, _, _ = self.restore(step)
        condition = {"id": np.arange(number, dtype=np.int32)}
        if label is not None:
            condition["label"] = np.full(number, label, np.int32)
        if latent is not None:
            condition["latent"] = latent
        return self.gallery.draw(self.devices.put_state(state), condition, seed, **static)

    def restore(self, step: int | None = None) -> tuple[TrainState, int, dict]:
        """(state on the host, step, what stands with it) of checkpoint `step`, else of the best, else of the newest."""
        found = self.checkpoints.restore(self.parts.abstract_state, self.checkpoints.best() if step is None else step)
        if found is None:
            raise TrainingError(f"no checkpoint in {self.workdir}: train first")
        step, state, body = found
        return state, step, body

    # What they need.

    @functools.cached_property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.workdir / "checkpoints", warn=_warn)

    @functools.cached_property
    def gallery(self) -> Gallery:
        return Gallery(self)

    @functools.cached_property
    def referee(self):
        """Who judges the samples."""
        return make_referee(self.parts)

    @functools.cached_property
    def _evaluate_step(self):
        return self.devices.evaluate_step(make_evaluate_step(self.task, self.parts.view))

    @functools.cached_property
    def _predict_step(self):
        return self.devices.predict_step(make_predict_step(self.task, self.parts.view))

    def _arguments(self, state, role):
        params, stats, _ = variables(state)
        frozen, key = self.devices.put(self.task.frozen()), self.devices.put(self.parts.root_key)
        return params, stats, self.parts.resident(role) if role else None, frozen, key

    def _measure(self, state, role):
        params, stats, resident, frozen, key = self._arguments(state, role)
        step = lambda feed: self._evaluate_step(params, stats, resident, feed, frozen, key)
        return compute(self.task, totals(step, self.parts.evaluation_feeds(role), self.devices))

    def _measure_all(self, state, role):
        """With what takes too long to be looked at through training."""
        return self._measure(state, role) | (judge(self, state, role) if self.page.train.judge else {})

    def _draw_and_validate(self, records, state):
        """Shows what the state can draw, and measures it."""
        pictures = self.gallery.snapshots(state)
        if records:
            save_snapshots(pictures, self.workdir, int(self.devices.get(state.step)), records)
        return self._validate(state)

    def _validate(self, state):
        if not self.parts.has("validation"):
            return {}, None
        return self.ranked(self._measure(state, "validation"), state)

    def ranked(self, numbers: dict[str, Any], state: TrainState) -> tuple[dict[str, Any], float | None]:
        """Numbers of the validation split, for the record, and the score by which the best checkpoint is kept."""
        scalars = {f"validation/{k}": v for k, v in numbers.items() if isinstance(v, float | int)}
        scalars["validation/weights"] = variables(state)[2]
        return scalars, score(self.task, numbers)

    def _learning_rates(self, done: int) -> dict[str, float]:
        """The learning rate of each player in the last step done, as the record names it."""
        single = len(self.task.names) == 1
        rates = self.parts.learning_rates(done - 1)
        return {f"train/{'' if single else player + '/'}learning_rate": rate for player, rate in rates.items()}

    def sibling(self, page: ConfigDict, workdir: pathlib.Path) -> "Run":
        """A run of a page that differs from this one in numbers alone: what is compiled is shared."""
        other = Run(self.parts.sibling(page), workdir)
        other._evaluate_step, other._predict_step = self._evaluate_step, self._predict_step
        return other

    def finish(self, journal: loop.Journal, draw: bool = True) -> dict[str, Any]:
        """The test split, touched once: with the best checkpoint by validation, or the last without validation.

        Leaves the pictures and, at last, `summary.json` in the work directory.
        """
        # matplotlib takes half a second, which the first step need not wait for
        from experiments.evaluation.figures import figures
        from training import pictures

        records, state, step = journal.records, *self.restore()[:2]
        tested = self.parts.has("test")
        numbers = self._measure_all(self.devices.put_state(state), "test") if tested else {}
        scalars = {f"test/{k}": v for k, v in numbers.items() if isinstance(v, float | int | str)}
        lists = {f"test/{k}": plain(v) for k, v in numbers.items() if isinstance(v, np.ndarray) and v.ndim == 1}
        summary = {"step": step, "steps": self.page.train.steps, "weights": variables(state)[2], **scalars, **lists}
        if records:
            records.finish(self.page.train.steps, scalars)
        for name, figure in figures(self, numbers) if draw else ():
            if records:
                pictures.save(figure, self.workdir / f"{name}.png")
                records.image(name, self.page.train.steps, pictures.pixels(figure))
        if records:
            save_gifs(self.workdir)
            summary |= {"seconds": round(records.seconds, 1), "startup_seconds": journal.startup}
            summary |= journal.body["origin"]
            replace(self.workdir / SUMMARY, json.dumps(summary, indent=1))
        return summary

    def _check_page(self) -> None:
        """Stores the page; refuses another one than that of the checkpoints there are."""
        if self.checkpoints.steps() and not self.fork:
            check_stored(self.workdir, self.page)
        if parallel.is_main():
            replace(self.workdir / STORED, json.dumps(canonical(self.page), indent=1))

    @contextlib.contextmanager
    def _locked(self):
        """Makes the work directory and holds its lock, in which stands who does and, afterwards, how that ended."""
        if not parallel.is_main():
            yield
            return
        try:
            self.workdir.mkdir(parents=True, exist_ok=True)
            handle = (self.workdir / LOCK).open("a")
        except OSError as error:
            raise TrainingError(f"cannot write the work directory {self.workdir}: {error.strerror}") from error
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise TrainingError(f"the work directory {self.workdir} is in use by another run") from error
            holder = {"pid": os.getpid(), "host": platform.node()}
            _write(handle, holder)
            try:
                yield
            except Exception as error:
                ended = getattr(error, "ended", f"failed: {error}")
                with contextlib.suppress(OSError):  # a full disk, say, of which `error` tells
                    _write(handle, {**holder, "ended": ended})
                if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise TrainingError(
                        f"cannot write in {self.workdir}: {error.strerror}; checkpoints stay"
                    ) from error
                raise


def _count_macs(function, *arguments) -> int:
    try:
        return count_macs(function, *arguments)
    except ValueError:  # products in a loop of unknown length, such as L-BFGS's line search
        return 0


def _write(handle, content: dict) -> None:
    handle.truncate(0)  # opened for appending: what follows stands at the beginning
    handle.write(json.dumps(content))
    handle.flush()


def _warn(line: str) -> None:
    print(f"fovea: {line}", file=sys.stderr)
