"""Trains pages of papers, within a budget of time, and adds their rows to the ledger.

One page is trained by this process. Several pages, or a page under a budget, are trained by a process each, which can
be stopped at any time and whose failure does not affect the others.
"""

import dataclasses
import json
import math
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from ml_collections import ConfigDict
from rich.console import Console

from data import open_source
from data.errors import DataError
from data.prepare import find_builder
from experiments.errors import EXIT_INTERRUPTED, PageError
from experiments.launch import FOVEA, flags
from experiments.ledger import rows as book
from experiments.pages.catalogue import canonical_name, file_name, load, pages
from experiments.pages.overrides import override
from experiments.pages.schema import PLAIN
from experiments.pages.stored import SUMMARY, canonical
from experiments.runs.run import build
from experiments.runs.workdir import state
from experiments.terminal import say
from training.loop import Interrupted
from training.records import read
from training.stop import StopSignal

GRACE = 30.0  # seconds at the end of a budget in which a run saves; at most a tenth of the budget
START = 15.0  # seconds that a process may need for a first step: it is not started with less
MARGIN = 1.1  # a page is started if its expected time, times this, is left


def one(page: ConfigDict, name: str, seeds: int | Sequence[int] | None, root: pathlib.Path) -> int:
    """Trains `page` for each seed, in ROOT/<name>/seed<N>, and adds its row; resumes where it was interrupted."""
    # First: a page that cannot have a row must not train for hours.
    book.page_of(canonical(page))
    try:
        workdirs = train_seeds(page, which(seeds, page, name), root / file_name(name))
    except Interrupted as stop:
        print(f"fovea: interrupted at step {stop}; saved: the same command resumes", file=sys.stderr)
        return EXIT_INTERRUPTED
    Console().print_json(data=book.add(workdirs, book.RESULTS))
    return 0


def train_seeds(page: ConfigDict, seeds: Sequence[int], folder: pathlib.Path) -> list[pathlib.Path]:
    """Trains the page once for each seed, in FOLDER/seed<N>; ended runs are left as they are. Returns the folders."""
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
    """A list is used as is; an int n means n seeds from the page's own on; None means those of its row, or its own."""
    if seeds is None:
        row = book.row_file(book.RESULTS, name)
        seeds = json.loads(row.read_text())["seeds"] if row.exists() else 1
    return list(range(page.train.seed, page.train.seed + seeds)) if isinstance(seeds, int) else list(seeds)


def reproducible(name: str, overrides) -> ConfigDict:
    """A page with overrides. Raises PageError where it has no metric to reproduce."""
    page = override(load(name), overrides)
    if not page.paper.metric:
        raise PageError(f"page {name} names no paper.metric: there is nothing to reproduce")
    return page


@dataclasses.dataclass
class Job:
    """A page to train.

    Attributes:
      steps: left to do, over its seeds.
      seconds: the expected time of these; None if unknown.
      named: whether the user named it; such a page is started even if it cannot end within the budget.
      stale: whether the ledger has no row of it, or one of older code.
      judge: the work directory of a run that must end before this one starts, or "".
    """

    name: str
    seeds: list[int]
    steps: int
    seconds: float | None = None
    named: bool = False
    stale: bool = True
    judge: str = ""

    def waits_for(self) -> str:
        """The work directory of the run that it waits for, or ""."""
        return "" if not self.judge or (pathlib.Path(self.judge) / SUMMARY).exists() else self.judge


def gather(names, overrides, seeds, root: pathlib.Path) -> tuple[list[Job], dict[str, str]]:
    """The pages to train, and the outcomes of those that cannot be trained or have ended.

    Without `names` these are all pages of papers. Raises PageError or DataError for a page that was named.
    """
    jobs, outcomes = [], {}
    rows = {row["page"]: row for row in book.rows(book.RESULTS) if row["status"] != "not run"}
    for name in map(canonical_name, names) if names else pages():
        page = reproducible(name, overrides) if names else load(name)
        if not page.paper.metric:
            continue
        absent = _absent(page, may_prepare=bool(names))
        if absent and names:
            raise DataError(f"{name}: {absent}")
        if absent:
            outcomes[name] = f"skipped: {absent}"
            continue
        chosen, row, steps = which(seeds, page, name), rows.get(name), page.train.steps
        workdirs = [root / file_name(name) / f"seed{seed}" for seed in chosen]
        if all((workdir / SUMMARY).exists() for workdir in workdirs):
            if names or not row:
                book.add(workdirs, book.RESULTS)
            outcomes[name] = f"ended before: remove {root / file_name(name)} to run it again"
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
    """Runs what fits into `budget` seconds and records the outcome of each page in `outcomes`.

    Pages without a row of the present code come first, the shortest of them first: that makes the most rows. Pages of
    unknown length come last.

    Args:
      run: (job, seconds until it must have ended, how many of them are for saving) -> "ended", "interrupted" or
        "failed: why".
      measure: (job, seconds for the measurement) -> seconds that it takes; None if they were not enough.
    """
    began, grace = clock(), min(GRACE, (budget or math.inf) / 10)
    left = lambda: math.inf if budget is None else budget - (clock() - began)
    expected, took = 0.0, 0.0  # by all jobs that have ended
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
            # This machine may be slower than the one of the row, or busy.
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
    """The outcome of a process that trains the page and adds its row within `seconds`."""
    seeds = "".join(f"{seed}," for seed in job.seeds)
    command = [*FOVEA, "reproduce", job.name, "--seeds", seeds, "--workdir", str(root), *flags(overrides)]
    # In its own session, so that Ctrl-C reaches it only through us: a second signal would stop it unsaved.
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    code, in_time = end_within(child, seconds, grace)
    if code == 0:
        return "ended"
    if not in_time or code == EXIT_INTERRUPTED:
        return "interrupted (the next call resumes)"
    states = [state(workdir) for workdir in sorted((root / file_name(job.name)).glob("seed*"))]
    return next((found for found in states if found.startswith("failed")), f"failed: exit code {code}; see above")


def end_within(child: subprocess.Popen, seconds: float, grace: float) -> tuple[int, bool]:
    """The exit code of a process, and whether it ended before SIGTERM, which it gets `grace` before SIGKILL."""
    try:
        return child.wait(None if math.isinf(seconds) else max(seconds - grace, 0)), True
    except (subprocess.TimeoutExpired, KeyboardInterrupt) as error:
        child.terminate()
        try:
            code = child.wait(0.8 * grace)
        except subprocess.TimeoutExpired:
            child.kill()  # saved checkpoints stay
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
    """The steps of a run that are done."""
    if (workdir / SUMMARY).exists():
        return steps
    return max((record["step"] for record in read(workdir)), default=0)


def measured(job: Job, overrides, limit: float) -> float | None:
    """Seconds that a page takes, from the time of its step; None if it could not be measured within `limit` seconds."""
    code = "from experiments.bench.loop import answer; answer()"
    command = [sys.executable, "-P", "-c", code, "experiments.bench.loop:step_time", job.name, json.dumps(overrides)]
    try:
        answer = subprocess.run(command, input="\n", capture_output=True, text=True, timeout=limit, check=True)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
        return None
    return job.steps * json.loads(answer.stdout)["step_seconds"]


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min"
