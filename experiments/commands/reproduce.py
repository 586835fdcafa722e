"""`fovea reproduce`: trains pages that stand for papers, within a budget of time, and adds their rows to the ledger.

One page is trained by this process. Of several, or under a budget, each is trained by a process of its own, which can
be stopped whatever it does, and of which none takes the others with it when it fails.
"""

import argparse
import dataclasses
import json
import math
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from data import open_source
from data.errors import DataError
from data.prepare import find_builder
from experiments.cli import EXIT_FAILED, EXIT_INTERRUPTED
from experiments.errors import PageError
from experiments.launch import FOVEA, flags
from experiments.ledger import rows as book
from experiments.pages.schema import PLAIN, SUMMARY, canonical, load, override, pages
from experiments.runs.run import build
from experiments.runs.workdir import state
from experiments.terminal import say, show
from training.loop import Interrupted, StopSignal
from training.records import read

GRACE = 30.0  # seconds before the end of a budget, in which a run that is still under way saves; at most a tenth of it
START = 15.0  # seconds in which a process may have done a first step: less is not worth trying
MARGIN = 1.1  # a page is begun when what it is expected to take, times this, is left


def reproduce(options: argparse.Namespace) -> int:
    """Carries out one page or several, and says what became of each."""
    if options.overrides and not options.names:
        raise PageError(f"--config.{options.overrides[0][0]}: name the pages for which it is")
    root = pathlib.Path(options.root)
    if len(options.names) == 1 and options.budget is None:
        return one(_page(options.names[0], options.overrides), options.names[0], options.seeds, root)
    jobs, outcomes = gather(options.names, options.overrides, options.seeds, root)
    run = lambda job, seconds, grace: train_elsewhere(job, options.overrides, root, seconds, grace)
    measure = lambda job, limit: measured(job, options.overrides, limit)
    budget = options.budget and 60 * options.budget - (time.perf_counter() - options.began)
    before, stopped = signal.signal(signal.SIGTERM, signal.default_int_handler), False
    try:
        carry_out(jobs, outcomes, budget, run, measure)
    except KeyboardInterrupt:
        stopped = True
    finally:
        signal.signal(signal.SIGTERM, before)
    table = Table("page", "seeds", "outcome")
    for name, outcome in outcomes.items():
        table.add_row(name, ", ".join(str(seed) for job in jobs if job.name == name for seed in job.seeds), outcome)
    show(table)
    if stopped:
        return EXIT_INTERRUPTED
    return EXIT_FAILED if any(outcome.startswith("failed") for outcome in outcomes.values()) else 0


# One page.


def one(page: ConfigDict, name: str, seeds: int | Sequence[int] | None, root: pathlib.Path) -> int:
    """Trains `page` for each seed, in ROOT/<name>/seed<N>, and adds its row; goes on where it was interrupted."""
    # Asked first, since a page of which there can be no row is not worth hours of training.
    book.page_of(canonical(page))
    try:
        workdirs = train_seeds(page, which(seeds, page, name), root / name)
    except Interrupted as stop:
        print(f"fovea: interrupted at step {stop}; saved: the same command goes on from there", file=sys.stderr)
        return EXIT_INTERRUPTED
    Console().print_json(data=book.add(workdirs, book.RESULTS))
    return 0


def train_seeds(page: ConfigDict, seeds: Sequence[int], folder: pathlib.Path) -> list[pathlib.Path]:
    """Trains the page once for each seed, in FOLDER/seed<N>; what has ended is left as it is. Returns the folders."""
    workdirs = [folder / f"seed{seed}" for seed in seeds]
    with StopSignal() as stop:
        for seed, workdir in zip(seeds, workdirs, strict=True):
            if stop(True):
                raise Interrupted(f"0 of seed {seed}")
            if not (workdir / SUMMARY).exists():
                say(f"seed {seed} in {workdir}")
                build(override(page, [("train.seed", str(seed))]), workdir).train()
    return workdirs


def which(seeds: int | Sequence[int] | None, page: ConfigDict, name: str) -> list[int]:
    """The seeds themselves; of a number so many from the page's own on; of None those of its row, else its own."""
    if seeds is None:
        row = book.RESULTS / f"{name}.json"
        seeds = json.loads(row.read_text())["seeds"] if row.exists() else 1
    return list(range(page.train.seed, page.train.seed + seeds)) if isinstance(seeds, int) else list(seeds)


def _page(name, overrides):
    page = override(load(name), overrides)
    if not page.paper.metric:
        raise PageError(f"page {name} names no paper.metric: there is nothing to reproduce")
    return page


# Several.


@dataclasses.dataclass
class Job:
    """A page that is to be trained.

    steps: that its seeds still have to do.
    seconds: that these take, as far as one knows.
    named: by the user; such a page is begun also where the budget ends before it does.
    stale: whether the ledger has no row of it, or one of older code.
    judge: the work directory that has to end before this page begins, or "".
    """

    name: str
    seeds: list[int]
    steps: int
    seconds: float | None = None
    named: bool = False
    stale: bool = True
    judge: str = ""

    def waits_for(self) -> str:
        """The work directory without which it cannot begin, or ""."""
        return "" if not self.judge or (pathlib.Path(self.judge) / SUMMARY).exists() else self.judge


def gather(names, overrides, seeds, root: pathlib.Path) -> tuple[list[Job], dict[str, str]]:
    """The pages to train, and what is to be said of those that cannot be, or need not.

    Without `names` they are all that stand for a paper. Raises PageError or DataError for a page that was named.
    """
    jobs, outcomes = [], {}
    rows = {row["page"]: row for row in book.rows(book.RESULTS) if row["status"] != "not run"}
    for name in names or pages():
        page = _page(name, overrides) if names else load(name)
        if not page.paper.metric:
            continue
        absent = _absent(page, may_prepare=bool(names))
        if absent and names:
            raise DataError(f"{name}: {absent}")
        if absent:
            outcomes[name] = f"skipped: {absent}"
            continue
        chosen, row, steps = which(seeds, page, name), rows.get(name), page.train.steps
        workdirs = [root / name / f"seed{seed}" for seed in chosen]
        if all((workdir / SUMMARY).exists() for workdir in workdirs):
            if names or not row:
                book.add(workdirs, book.RESULTS)
            outcomes[name] = f"ended before: remove {root / name} to run it anew"
            continue
        left = sum(steps - _done(workdir, steps) for workdir in workdirs)
        seconds = row["seconds"] * left / row["steps"] if row else None
        judge = "" if page.train.judge.startswith(("pixels", "inception:")) else page.train.judge
        stale = not row or bool(row["age"])
        jobs.append(Job(name, chosen, left, seconds, named=bool(names), stale=stale, judge=judge))
    return jobs, outcomes


def carry_out(
    jobs: Sequence[Job],
    outcomes: dict[str, str],
    budget: float | None,
    run: Callable[[Job, float, float], str],
    measure: Callable[[Job, float], float | None],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Runs what fits into `budget` seconds and notes in `outcomes` what became of each page.

    First come pages of which the ledger has no row of the present code, and of these the ones that take least: so most
    rows are made. A page whose length is not known comes after all whose length is.

    Args:
      run: (job, seconds in which it must have ended, those of them in which to save) -> "ended", "interrupted" or
        "failed: why".
      measure: (job, seconds in which to find out) -> seconds that it takes; None where they were not enough.
    """
    began, grace = clock(), min(GRACE, (budget or math.inf) / 10)
    left = lambda: math.inf if budget is None else budget - (clock() - began)
    expected, took = 0.0, 0.0  # by all that has ended
    waiting = sorted(jobs, key=lambda job: (job.seconds is None, not job.stale, job.seconds or 0.0))
    while waiting:
        job = next((job for job in waiting if not job.waits_for()), None)
        if job is None:
            outcomes |= {job.name: f"skipped: its judge {job.judge} is not there" for job in waiting}
            return
        waiting.remove(job)
        if budget is not None:
            limit = min(60.0, left() / 10)
            if job.seconds is None and not job.named and limit > START:
                say(f"{job.name}: how long does it take?")
                job.seconds = measure(job, limit)
            # This machine may be slower than that of the row, or busy with something else.
            seconds = math.inf if job.seconds is None else job.seconds * (took / expected if expected else 1.0)
            if left() <= grace or (not job.named and MARGIN * seconds > left() - grace):
                takes = f"takes about {_minutes(seconds)}" if math.isfinite(seconds) else "its length is not known"
                outcomes[job.name] = f"not begun: {takes}, and {_minutes(left())} were left"
                continue
        about = f", about {book.duration(job.seconds)}" if job.seconds else ""
        say(f"{job.name}: {len(job.seeds)} seed{'s' * (len(job.seeds) > 1)}{about}")
        outcomes[job.name], start = "interrupted", clock()
        outcome = run(job, left(), grace)
        seconds = clock() - start
        outcomes[job.name] = f"{outcome} after {book.duration(seconds)}"
        if outcome == "ended" and job.seconds:
            expected, took = expected + job.seconds, took + seconds


def train_elsewhere(job: Job, overrides, root: pathlib.Path, seconds: float, grace: float) -> str:
    """What became of a process that trains the page and adds its row, and that ends in `seconds`."""
    seeds = "".join(f"{seed}," for seed in job.seeds)
    command = [*FOVEA, "reproduce", job.name, "--seeds", seeds, "--workdir", str(root), *flags(overrides)]
    # In a session of its own, so that Ctrl-C reaches it once, through us: a second one would stop it unsaved.
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    code, in_time = end_within(child, seconds, grace)
    if code == 0:
        return "ended"
    if not in_time or code == EXIT_INTERRUPTED:
        return "interrupted (the next call goes on)"
    states = [state(workdir) for workdir in sorted((root / job.name).glob("seed*"))]
    return next((found for found in states if found.startswith("failed")), f"failed: exit code {code}, as said above")


def end_within(child: subprocess.Popen, seconds: float, grace: float) -> tuple[int, bool]:
    """The exit code of a process, and whether it ended by itself; it is asked `grace` before the end, and killed."""
    try:
        return child.wait(None if math.isinf(seconds) else max(seconds - grace, 0)), True
    except (subprocess.TimeoutExpired, KeyboardInterrupt) as error:
        child.terminate()
        try:
            code = child.wait(0.8 * grace)
        except subprocess.TimeoutExpired:
            child.kill()  # what it has saved stays: it loses an evaluation, say, that would have taken too long
            code = child.wait()
        if isinstance(error, KeyboardInterrupt):
            raise
        return code, False


def _absent(page: ConfigDict, may_prepare: bool) -> str:
    """Why the data of a page cannot be read, or ""."""
    section = page.data
    kind, _, argument = section.name.partition(":")
    try:
        if kind == "tfds" and not may_prepare and not find_builder(argument, section.data_dir).is_prepared():
            return f"{section.name} is not prepared: python -m data.prepare --name {argument}"
        options = {key: value for key, value in section.items() if key not in PLAIN["data"] and key != "name"}
        open_source(section.name, section.test or section.train, **options)
    except DataError as error:
        return str(error)
    return ""


def _done(workdir: pathlib.Path, steps: int) -> int:
    """The steps of a run that need not be done again."""
    if (workdir / SUMMARY).exists():
        return steps
    return max((record["step"] for record in read(workdir)), default=0)


def measured(job: Job, overrides, limit: float) -> float | None:
    """Seconds that a page takes by its step alone; None if no step was done in `limit` seconds."""
    code = "from experiments.bench.loop import answer; answer()"
    command = [sys.executable, "-P", "-c", code, "experiments.bench.loop:step_time", job.name, json.dumps(overrides)]
    try:
        answer = subprocess.run(command, input="\n", capture_output=True, text=True, timeout=limit, check=True)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
        return None
    return job.steps * json.loads(answer.stdout)["step_seconds"]


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min"
