"""`fovea sweep`: searches over keys of a page; here, in several processes, on a cluster."""

import argparse
import concurrent.futures
import math
import pathlib
import time

import jax
from rich import progress as bar
from rich.console import Console
from rich.table import Table

from experiments.build.parts import Parts
from experiments.cli import EXIT_FAILED, EXIT_INTERRUPTED
from experiments.errors import PageError, near
from experiments.launch import Job, local, submit, where
from experiments.ledger.rows import goal
from experiments.pages import schema as pages
from experiments.runs.together import use_cores
from experiments.sweeps.spaces import combinations, spaces
from experiments.sweeps.sweep import BEST, RESULTS, Plan, Sweep, begin, unique
from experiments.sweeps.worker import Crew, reported
from experiments.terminal import say, show
from training import loop
from training.evaluate import readings

SLOTS = {"cpu": 16}  # trials of one program; further ones gain nothing on a CPU, and would be chosen knowing less
MANY = 32  # on accelerators, which they fill
TRIALS = 32  # unless a number is given, or all values of a grid
SHOWN = 10  # trials in the table


def sweep(options: argparse.Namespace) -> int:
    folder = pathlib.Path(options.folder)
    if options.worker:
        return work(Sweep(folder), options.vectorize)
    if options.config is None:
        raise PageError("sweep wants --config PAGE, or --worker to join the sweep in --workdir")
    place = where(options)
    if place.hosts > 1:
        raise PageError(
            f"--hosts {place.hosts}: a trial has one host; --workers N are the processes that share the trials"
        )
    if place.on == "local":
        local.shares(place.devices, options.workers)  # what is not there is said before anything is written
    if options.vectorize != "no":
        use_cores(options.page)
    here = place.on == "local" and options.workers == 1 and place.devices is None
    if not here:
        jax.config.update("jax_platforms", "cpu")  # the accelerators are for the workers
    plan = planned(options)
    found = begin(folder, plan)
    say(f"{found.limit} trials of {plan.page} for the {plan.goal} of {plan.metric}, in {folder}")
    if here:
        return work(found, options.vectorize)
    together = options.vectorize
    if together == "auto" and options.workers > 1:  # else the first to come would take all trials
        together = str(min(MANY, math.ceil(found.limit / options.workers)))
    command = ["sweep", "--worker", "--workdir", str(folder.absolute()), "--vectorize", together]
    jobs = submit(command, place, folder, copies=options.workers)
    for job in jobs:
        say(f"{job.name}\n  to follow: tail -f {job.log}")
    if place.on == "slurm":
        say(f"the last to end writes {folder / RESULTS}; `fovea ps {folder}` shows the trials")
        return 0
    return attend(found, jobs)


def planned(options: argparse.Namespace) -> Plan:
    """What the arguments say, on top of what the page's own `sweep()` does."""
    own = pages.search(options.config)
    known = ("over", "metric", "goal", "trials", "sampler", "pruner", "seed")
    for name in own:
        if name not in known:
            raise PageError(f"sweep() of {options.config}: unknown key {name!r}{near(name, known)}")
    given = {name: value for name in known if (value := getattr(options, name)) is not None}
    defaults = dict(sampler="tpe", pruner="none", seed=0)
    chosen = {**defaults, **own, **given}
    chosen["over"] = {**{k: str(v) for k, v in own.get("over", {}).items()}, **dict(given.get("over", []))}
    if not chosen["over"]:
        raise PageError("--over KEY=SPACE says what is searched, as in --over schedule.peak=log:1e-4..1e-1")
    page = pages.anywhere(options.config)
    over = spaces(chosen["over"], options.page)
    count = len(combinations(over)) if chosen["sampler"] == "grid" else TRIALS
    if chosen.setdefault("trials", count) < 1:
        raise PageError(f"--trials {chosen['trials']} is less than 1")
    one_device = [("devices.kind", "mesh"), ("devices.fsdp", "1")]
    aim = _aim(Parts(pages.override(options.page, one_device)), chosen.get("metric"), chosen.get("goal"))
    return Plan(
        **{"page": page, **chosen, **aim},
        overrides=[list(pair) for pair in options.overrides],
        config=pages.canonical(options.page),
        storage=options.storage or "",
        study=unique(page),
    )


def _aim(parts: Parts, metric: str | None, wanted: str | None) -> dict[str, str]:
    """The metric, else that by which the page's task ranks checkpoints, and the goal, else the one that it has."""
    best = parts.task.best
    if not metric and not (best and parts.has("validation")):
        raise PageError("--metric NAME: the page has no validation split, or its task no metric that ranks checkpoints")
    ranks = f"validation/{best}"
    metric, names = metric or ranks, reported(parts)
    if metric not in names:
        raise PageError(f"--metric {metric}: the page never reports it{near(metric, names)}")
    own = readings(parts.task)[best].better if metric == ranks else goal(metric)
    if not (wanted or own):
        raise PageError(f"--goal min or max: the name of {metric} does not say which is better")
    return {"metric": metric, "goal": wanted or own}


def work(sweep: Sweep, vectorize: str) -> int:
    """Trains trials until none is left, and draws what was found if no other worker has any either."""
    if vectorize != "no":
        use_cores(sweep.base)
    slots = _slots(vectorize, sweep.limit)
    progress = Progress(sweep)
    try:
        with loop.StopSignal() as stop, progress:
            Crew(sweep, slots, progress.show).work(stop)
    except loop.Interrupted:
        say(f"fovea: interrupted; saved: the same command, or `fovea sweep --worker --workdir {sweep.folder}`, goes on")
        return EXIT_INTERRUPTED
    if sweep.ended():
        conclude(sweep)
    return 0


def _slots(vectorize: str, trials: int) -> int:
    if vectorize == "auto":
        return min(trials, SLOTS.get(jax.default_backend(), MANY))
    return 1 if vectorize == "no" else int(vectorize)


def attend(sweep: Sweep, jobs: list[Job]) -> int:
    """Waits for the workers, and shows what comes of the trials meanwhile."""
    with Progress(sweep) as progress, concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
        waiting = [pool.submit(job.wait) for job in jobs]
        try:
            while concurrent.futures.wait(waiting, timeout=progress.EVERY).not_done:
                progress.look()
        except KeyboardInterrupt:
            for job in jobs:
                job.stop()
        codes = [each.result() for each in waiting]
        progress.look()
    if sweep.ended():
        conclude(sweep)
        return 0
    if not any(codes):
        say("the trials that are left are those of other workers")
        return 0
    say(f"fovea: {sum(map(bool, codes))} of {len(jobs)} workers did not end well; the same command goes on")
    return EXIT_INTERRUPTED if EXIT_INTERRUPTED in codes else EXIT_FAILED


def conclude(sweep: Sweep) -> None:
    """Writes what was found, draws it, and prints the best trials."""
    from training import pictures  # matplotlib, which no trial waits for

    found = sweep.write(importance=True)
    log = {key for key, space in sweep.spaces.items() if space.log}
    for name, draw in {"parallel": pictures.parallel, "slices": pictures.slices}.items():
        if any(row["value"] is not None for row in found["trials"]):
            pictures.save(draw(found["trials"], found["metric"], found["goal"], log), sweep.folder / f"{name}.png")
    if found["importance"]:
        pictures.save(pictures.importance(found["importance"]), sweep.folder / "importance.png")
    print_table(found)
    if found["best"] is not None:
        print(f"best page: {sweep.folder / BEST}")


def print_table(found) -> None:
    """The best trials, and how many there are of each state."""
    table = Table("trial", found["metric"], "step", *found["over"], "seconds")
    rows = [row for row in found["trials"] if row["value"] is not None and row["state"] != "failed"]
    rows.sort(key=lambda row: row["value"], reverse=found["goal"] == "max")
    text = lambda x: f"{x:.4g}" if isinstance(x, float) else str(x)
    for row in rows[:SHOWN]:
        value = f"{row['value']:.5g}" + (" (pruned)" if row["state"] == "pruned" else "")
        seconds = "" if row["seconds"] is None else f"{row['seconds']:.0f}"
        table.add_row(
            str(row["number"]), value, str(row["step"]), *(text(row["params"][key]) for key in found["over"]), seconds
        )
    show(table)
    counts = {}
    for row in found["trials"]:
        counts[row["state"]] = counts.get(row["state"], 0) + 1
    print(", ".join(f"{count} {state}" for state, count in counts.items()))
    for row in found["trials"]:
        if row["why"]:
            print(f"trial {row['number']} failed: {row['why']}")


class Progress:
    """Trials that have ended, the best so far, and the time that is left at this pace."""

    EVERY = 2.0  # seconds between two looks, as long as this worker ends no trial

    def __init__(self, sweep: Sweep):
        self._sweep, self._began, self._looked, self._shares = sweep, time.monotonic(), -math.inf, {}
        self._before = self._told = _ended(sweep.results())
        console = Console(stderr=True)
        self._bar = bar.Progress(bar.TextColumn("{task.fields[text]}"), bar.BarColumn(), console=console)
        self._task = self._bar.add_task("sweep", total=sweep.limit, text="compiling …")
        self._bar.disable = not console.is_terminal

    def __enter__(self):
        self._bar.start()
        return self

    def __exit__(self, *_):
        self._bar.stop()

    def show(self, number: int, done: int | None) -> None:
        """A trial of this worker has done so many steps, or has ended."""
        self._shares[number] = 1.0 if done is None else done / self._sweep.base.train.steps
        if done is None or (not self._bar.disable and time.monotonic() - self._looked > self.EVERY):
            self.look()

    def look(self) -> None:
        """Says which trials have ended since the last look, here or elsewhere."""
        self._looked, found, limit = time.monotonic(), self._sweep.results(), self._sweep.limit
        ended = _ended(found)
        under_way = sum(share for number, share in self._shares.items() if number not in ended)
        left, here = max(limit - len(ended) - under_way, 0.0), len(ended - self._before) + under_way
        seconds = round((self._looked - self._began) * left / here) if here else 0
        text = f"{len(ended)} of {limit} trials"
        if found["best"] is not None:
            text += f"  best {found['trials'][found['best']]['value']:.5g} (trial {found['best']})"
        text += f"  eta {seconds // 60}:{seconds % 60:02d}"
        self._bar.update(self._task, completed=limit - left, text=text)
        for number in sorted(ended - self._told):
            row = found["trials"][number]
            value = "" if row["value"] is None else f" {row['value']:.5g}"
            why = f": {row['why']}" if row["why"] else ""
            line = f"trial {number} {row['state']}{value}{why}" + (f"  {text}" if self._bar.disable else "")
            self._bar.console.print(line, highlight=False, soft_wrap=True, markup=False)
        self._told = ended


def _ended(results) -> set[int]:
    return {row["number"] for row in results["trials"] if row["state"] not in ("running", "waiting")}
