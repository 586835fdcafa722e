"""A sweep: many trials of one page, which differ in the keys that it searches over.

Its folder has the plan, `sweep.json`, a work directory for each trial, `trials/0007`, and `results.json` and `best.py`,
which are rewritten after each trial. Optuna chooses the values; its study is a file in the folder, or in a database.
Any number of workers may join. Another worker resumes the trials of one that was killed from their last checkpoints.
Nothing here imports jax.
"""

import contextlib
import dataclasses
import fcntl
import json
import math
import os
import pathlib
import time
import warnings
from collections.abc import Iterator
from typing import Any

import optuna
from ml_collections import ConfigDict
from optuna.trial import TrialState

from experiments.errors import PageError, near
from experiments.pages.catalogue import file_name
from experiments.pages.overrides import override
from experiments.pages.stored import RESULTS, STORED, SWEEP, difference, from_canonical
from experiments.runs.workdir import make_folder
from experiments.sweeps.cmaes import CmaEsSampler
from experiments.sweeps.spaces import combinations, settings, spaces
from experiments.sweeps.storage import reached, storage
from experiments.sweeps.untried import Untried
from training.atomic import replace

BEST, TRIALS = "best.py", "trials"
LOCK, CLAIM = "sweep.lock", "claim"
SAMPLERS = ("tpe", "random", "grid", "cmaes")
PRUNERS = ("none", "median", "hyperband", "asha")
GOALS = {"max": "maximize", "min": "minimize"}

# Settings that may change when a sweep is resumed.
_FREE = ("trials", "storage", "study")
_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


@dataclasses.dataclass(frozen=True)
class Plan:
    """The content of `sweep.json`.

    Attributes:
      page: the page's name or file; `overrides` are those of the command.
      config: the page, canonical.
      over: key -> text of its space.
      metric: of the record, "validation/accuracy"; a trial's value is the best that it reports.
      goal: "max" or "min".
      storage: URL of a database; "" for a file in the folder.
      study: its name there.
    """

    page: str
    overrides: list[list[str]]
    config: dict[str, Any]
    over: dict[str, str]
    metric: str
    goal: str
    trials: int
    sampler: str
    pruner: str
    seed: int
    storage: str
    study: str

    def __post_init__(self):
        for name, choices in (("goal", tuple(GOALS)), ("sampler", SAMPLERS), ("pruner", PRUNERS)):
            if getattr(self, name) not in choices:
                raise PageError(f"--{name} {getattr(self, name)}{near(getattr(self, name), choices)}")


class Sweep:
    """A sweep in its folder. Raises PageError where there is none, or its storage cannot be reached."""

    def __init__(self, folder: pathlib.Path):
        self.folder = pathlib.Path(folder)
        path = self.folder / SWEEP
        try:
            self.plan = Plan(**json.loads(path.read_text()))
        except OSError as error:
            raise PageError(f"{folder} is not a sweep: cannot read {path} ({error.strerror})") from error
        except (TypeError, ValueError) as error:
            raise PageError(f"{path} is not readable: {error}") from error
        # The validation split chooses, and no trial reads the test split. Trials never span devices.
        base = from_canonical(self.plan.config)
        base = override(base, [("data.test", ""), ("devices.kind", "mesh"), ("devices.fsdp", "1")])
        with base.unlocked():
            for name in [name for name, one in base.evaluate.items() if not one.every]:
                del base.evaluate[name]
        self.base = base
        self.spaces = spaces(self.plan.over, self.base)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study = self._study()
        self._claims: dict[int, Any] = {}
        self._made = None  # the sampler

    # Trials.

    def take(self, fresh: bool = True) -> optuna.Trial | None:
        """A trial that a worker left unfinished, a new one if `fresh`, or None."""
        with self._locked():
            known = self.study.get_trials(deepcopy=False)
            for trial in known:
                if trial.state == TrialState.RUNNING and trial.number not in self._claims and self._claim(trial.number):
                    # Optuna has no other way to resume a trial of another process.
                    return self._suggested(optuna.trial.Trial(self.study, trial._trial_id))
            # Enqueued by a worker that was killed before it asked.
            waiting = sum(trial.state == TrialState.WAITING for trial in known)
            begun = len(known) - waiting
            if not fresh or begun >= self.limit:
                return None
            self.study.sampler = self._sampler(begun)
            if self._grid and not waiting:
                self.study.enqueue_trial(combinations(self.spaces)[begun])
            trial = self.study.ask()
            self._claim(trial.number)
            return self._suggested(trial)

    def _suggested(self, trial):
        for key, space in self.spaces.items():
            space.suggest(trial, key)
        return trial

    @property
    def limit(self) -> int:
        """The number of trials, at most the number of settings: each setting is tried once."""
        return int(min(self.plan.trials, settings(self.spaces)))

    @property
    def _grid(self):
        return self.plan.sampler == "grid"

    def page(self, trial) -> ConfigDict:
        """The page of a trial. Raises PageError where its values do not fit together."""
        return override(self.base, self.values(trial))

    def values(self, trial) -> list[tuple[str, str]]:
        """(key, text) of a trial's values."""
        show = lambda x: x if isinstance(x, str) else repr(x)
        return [(key, show(trial.params[key])) for key in self.spaces]

    def workdir(self, number: int) -> pathlib.Path:
        return self.folder / TRIALS / f"{number:04}"

    def report(self, trial: optuna.Trial, step: int, value: float) -> bool:
        """Records a value of a trial; returns whether the pruner ends it."""
        if math.isfinite(value):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a resumed trial reports some values again
                trial.report(value, step)
        return trial.should_prune()

    def tell(self, trial: optuna.Trial, *, pruned: bool = False, why: str | None = None) -> None:
        """Records the end of a trial: failed for the reason `why`, pruned, or complete."""
        best = self.value(self.study.get_trials(deepcopy=False)[trial.number])
        if why is None and not pruned and best is None:
            why = f"it never reported a finite {self.plan.metric}"
        if why is not None:
            trial.set_user_attr("why", why)
            self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        elif pruned:
            self.study.tell(trial.number, state=TrialState.PRUNED, skip_if_finished=True)
        else:
            self.study.tell(trial.number, best, skip_if_finished=True)
        self.release(trial)

    def release(self, trial: optuna.Trial) -> None:
        """Leaves it for another worker, if it has not ended."""
        self._claims.pop(trial.number).close()

    def value(self, frozen) -> float | None:
        """The best that a trial has reported."""
        values = frozen.intermediate_values.values()
        return (max if self.plan.goal == "max" else min)(values, default=None)

    # Results.

    def results(self, importance: bool = False) -> dict[str, Any]:
        """The content of `results.json`; `importance` of the keys takes a second or more."""
        known = self.study.get_trials(deepcopy=False)
        rows = [self._row(trial) for trial in known]
        done = [row for row in rows if row["state"] == "complete"]
        pick = max if self.plan.goal == "max" else min
        best = pick(done, key=lambda row: row["value"], default={"number": None})["number"]
        plan = {name: getattr(self.plan, name) for name in ("metric", "goal", "over")}
        ends = [trial.datetime_complete for trial in known if trial.datetime_complete]
        starts = [trial.datetime_start for trial in known if trial.datetime_start]
        # Of the whole sweep: trials may run side by side.
        seconds = (max(ends) - min(starts)).total_seconds() if ends else None
        shares = self._importance(done) if importance else None
        return {**plan, "trials": rows, "best": best, "seconds": seconds, "importance": shares}

    def write(self, importance: bool = False) -> dict[str, Any]:
        """Writes `results.json`, and `best.py` once there is a best trial; returns the results."""
        with self._locked():
            found = self.results(importance)
            replace(self.folder / RESULTS, json.dumps(found, indent=1) + "\n")
            if found["best"] is not None:
                replace(self.folder / BEST, self._best_page(found))
        return found

    def ended(self) -> bool:
        known = self.study.get_trials(deepcopy=False)
        return len(known) >= self.limit and all(trial.state.is_finished() for trial in known)

    def _row(self, trial):
        return {
            "number": trial.number,
            "params": {key: _number(value) for key, value in trial.params.items()},
            "state": _STATES[trial.state],
            "value": self.value(trial),
            "step": trial.last_step or 0,
            "seconds": trial.duration.total_seconds() if trial.duration else None,
            "why": trial.user_attrs.get("why"),
        }

    def _importance(self, done):
        """key -> its share of the variance of values; None where there are too few trials."""
        if len({row["value"] for row in done}) < 2 or len(done) < 4:
            return None
        from optuna.importance import FanovaImportanceEvaluator, get_param_importances

        try:
            return get_param_importances(self.study, evaluator=FanovaImportanceEvaluator(seed=0))
        except (RuntimeError, ValueError):  # such as when no key was tried with two values
            return None

    def _best_page(self, found) -> str:
        row = found["trials"][found["best"]]
        chosen = self.values(self.study.get_trials(deepcopy=False)[found["best"]])
        quoted = json.dumps
        lines = "".join(f"    ({quoted(key)}, {quoted(value)}),\n" for key, value in [*self.plan.overrides, *chosen])
        return (
            f'"""The best of {len(found["trials"])} trials of {pathlib.PurePath(self.plan.page).name}:'
            f" {self.plan.metric} {row['value']:.6g} (trial {row['number']}).\n\n"
            f'Written by `fovea sweep`; a page like any other: `fovea train --config {BEST} --workdir DIR`.\n"""\n\n'
            "from experiments.pages import load, override\n\n"
            f"CHANGES = (\n{lines})\n\n\n"
            f"def get_config():\n    return override(load({quoted(self.plan.page)}), CHANGES)\n"
        )

    # Storage.

    def _study(self) -> optuna.Study:
        plan, kept = self.plan, storage(self.plan.storage, self.folder)
        names = dict(study_name=plan.study, direction=GOALS[plan.goal])
        with reached(plan.storage):
            return optuna.create_study(storage=kept, pruner=self._pruner(), load_if_exists=True, **names)

    def _sampler(self, existing: int):
        # A worker that joins or resumes has a seed of its own; a single one repeats the sweep of its seed.
        alone = not existing
        seed = self.plan.seed if alone else (self.plan.seed * 1_000_003 + existing * 7919 + os.getpid()) % 2**31
        if self._made is None or alone:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # optuna warns of its experimental options
                chosen = {
                    "random": lambda: optuna.samplers.RandomSampler(seed=seed),
                    "grid": optuna.samplers.RandomSampler,  # never asked: all are enqueued
                    "tpe": lambda: optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True),
                    "cmaes": lambda: CmaEsSampler(seed=seed, warn_independent_sampling=False),
                }[self.plan.sampler]()
            finite = math.isfinite(settings(self.spaces)) and not self._grid
            self._made = Untried(chosen, self.spaces, seed) if finite else chosen
        return self._made

    def _pruner(self):
        page = self.base.train
        return {
            "none": optuna.pruners.NopPruner,
            "median": optuna.pruners.MedianPruner,
            "hyperband": lambda: optuna.pruners.HyperbandPruner(page.evaluate_every, page.steps),
            "asha": lambda: optuna.pruners.SuccessiveHalvingPruner(page.evaluate_every),
        }[self.plan.pruner]()

    def _claim(self, number: int) -> bool:
        """Claims a trial until this process ends; False where another process has it."""
        workdir = self.workdir(number)
        workdir.mkdir(parents=True, exist_ok=True)
        handle = (workdir / CLAIM).open("w")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.close()
            return False
        self._claims[number] = handle
        return True

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Holds the lock of the sweep: one worker at a time."""
        with (self.folder / LOCK).open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def begin(folder: pathlib.Path, plan: Plan) -> Sweep:
    """The sweep of a plan in a folder, new or resumed.

    Raises PageError, and writes nothing, if the folder has another sweep; the message lists the differences.
    """
    folder = pathlib.Path(folder)
    path, new = folder / SWEEP, json.loads(json.dumps(dataclasses.asdict(plan)))
    if path.exists():
        old = dataclasses.asdict(Sweep(folder).plan)
        lines = difference(old["config"], new["config"])
        lines += [
            f"{name}: stored {old[name]!r}, given {new[name]!r}"
            for name in old
            if name not in ("config", "page", "overrides", *_FREE) and old[name] != new[name]
        ]
        if lines:
            raise PageError(f"{folder} holds another sweep; {'; '.join(lines)} (another --workdir)")
        new |= {name: old[name] for name in ("study", "storage")}
    else:
        if (folder / STORED).exists():
            raise PageError(f"{folder} is the work directory of a run: a sweep needs its own folder")
        make_folder(folder)
        storage(plan.storage, folder, probe=True)
    try:
        replace(path, json.dumps(new, indent=1) + "\n")
    except OSError as error:
        raise PageError(f"cannot write {path}: {error.strerror}") from error
    return Sweep(folder)


def unique(page: str) -> str:
    """A unique name for a study."""
    return f"{file_name(pathlib.PurePath(page).name)}-{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(3).hex()}"


def _number(value):
    """A choice is text; the number that it spells, if it spells one."""
    if not isinstance(value, str):
        return value
    try:
        return float(value) if "." in value or "e" in value else int(value)
    except ValueError:
        return value
