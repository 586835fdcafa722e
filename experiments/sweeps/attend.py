"""Carrying out a sweep: the work of one process, waiting for several, and the pictures and tables at the end."""

import concurrent.futures
from collections.abc import Sequence

import jax

from experiments.errors import EXIT_FAILED, EXIT_INTERRUPTED
from experiments.launch import Job
from experiments.runs.together import use_cores
from experiments.sweeps import figures
from experiments.sweeps.progress import Progress, print_table
from experiments.sweeps.sweep import BEST, Sweep
from experiments.sweeps.worker import Worker
from experiments.terminal import drawing, say
from training import loop, pictures
from training.stop import StopSignal

SLOTS = {"cpu": 16}  # trials of one program: more are not faster on a CPU, and are chosen from fewer results
MANY = 32  # on accelerators


def work(sweep: Sweep, vectorize: str) -> int:
    """Trains trials until none is left, concludes the sweep if no other worker has one, returns the exit code."""
    if vectorize != "no":
        use_cores(sweep.base)
    slots = _slots(vectorize, sweep.limit)
    progress = Progress(sweep)
    try:
        with StopSignal() as stop, progress:
            Worker(sweep, slots, progress.show).work(stop)
    except loop.Interrupted:
        say(f"fovea: interrupted; saved: the same command, or `fovea sweep --worker --workdir {sweep.folder}`, resumes")
        return EXIT_INTERRUPTED
    if sweep.ended():
        conclude(sweep)
    return 0


def _slots(vectorize: str, trials: int) -> int:
    if vectorize == "auto":
        return min(trials, SLOTS.get(jax.default_backend(), MANY))
    return 1 if vectorize == "no" else int(vectorize)


def attend(sweep: Sweep, jobs: Sequence[Job]) -> int:
    """Waits for the workers while it shows how the trials progress; returns the exit code."""
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
        say("other workers have the remaining trials")
        return 0
    say(f"fovea: {sum(map(bool, codes))} of {len(jobs)} workers failed; rerun the same command to resume")
    return EXIT_INTERRUPTED if EXIT_INTERRUPTED in codes else EXIT_FAILED


def conclude(sweep: Sweep) -> None:
    """Writes the results, draws them, and prints the best trials."""
    found = sweep.write(importance=True)
    log = {key for key, space in sweep.spaces.items() if space.log}
    for name, draw in {"parallel": figures.parallel, "slices": figures.slices}.items():
        if any(row["value"] is not None for row in found["trials"]):
            with drawing(name):
                picture = draw(found["trials"], found["metric"], found["goal"], log)
                pictures.save(picture, sweep.folder / f"{name}.png")
    if found["importance"]:
        with drawing("importance"):
            pictures.save(figures.importance(found["importance"]), sweep.folder / "importance.png")
    print_table(found)
    if found["best"] is not None:
        print(f"best page: {sweep.folder / BEST}")
