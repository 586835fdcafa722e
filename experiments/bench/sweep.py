"""Trials an hour of a sweep: a process for each, one worker, two workers, and as one program.

The time includes start-up, compilation with a warm cache, evaluation and checkpoints. A trial is the page without
changes. Each row has the number of its trials; fewer suffice where trials are trained one by one.

What bounds one program on two cores: nearly all of its time are steps, the products of each trial and what passes over
the maps between them. The rest is start-up, checkpoints of 32 runs at a time and the end. No faster, timed by hand:
slots of a core side by side by `vmap`, maps with the examples innermost, several steps a call, states updated in place
in the loop over slots, batches in chunks, and XLA's other ways to multiply matrices (oneDNN, XNNPACK, wider vectors).
"""

import json
import pathlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from data import open_source
from experiments.bench.processes import run
from experiments.launch import FOVEA
from experiments.pages.catalogue import load
from experiments.pages.stored import RESULTS, SUMMARY
from experiments.sweeps.sweep import TRIALS
from experiments.terminal import say
from training.errors import TrainingError
from training.records import read

TOGETHER, FEW = 32, 4  # trials of one program, all at a time; of the others
OVER = ("--over", "schedule.peak=log:3e-4..1e-2", "--over", "optimizer.b1=0.8..0.95")
# One epoch. A twentieth of the training split is for validation, which the page does not have.
EPOCH = ("--config.train.steps=445", "--config.train.evaluate_every=445", "--config.data.train=train[:95%]")
EPOCH += ("--config.data.validation=train[95%:]",)
# page -> (what makes it the trial, how many times as many trials are wanted on a CPU, and on an accelerator)
SUBJECTS = {
    "lenet5_digits": ((), 4.0, 20.0),
    "lenet5_mnist": (EPOCH, 1.5, 20.0),
}


def sweep_suite() -> Iterator[dict[str, Any]]:
    """Trials an hour of LeNet-5 on digits (the page) and on MNIST (one epoch)."""
    for page in SUBJECTS:  # what is not there is said now, and not after minutes
        open_source(load(page).data.name, "train")
    for page, (overrides, on_cpu, on_accelerator) in SUBJECTS.items():
        with tempfile.TemporaryDirectory() as folder:
            yield from _subject(page, overrides, on_cpu, on_accelerator, pathlib.Path(folder))


def _subject(page, overrides, on_cpu, on_accelerator, folder):
    say(f"{page}: a process for each trial …")
    train = lambda name: timed("train", "--config", page, "--workdir", folder / name, *overrides)
    train("warm")  # what it compiles is kept
    each = statistics.median(train(f"alone{i}") for i in range(FEW))
    steady = _speed(folder / "alone0")
    yield {"page": page, "how": "a process each", "trials": FEW, "trials_per_hour": 3600 / each, "ratio": 1.0}
    for how, trials, at_a_time, options in (
        ("one worker, one by one", FEW, 1, ("--vectorize", "no")),
        ("two workers, one by one", FEW, 2, ("--vectorize", "no", "--workers", "2")),
        ("one program", TOGETHER, TOGETHER, ("--vectorize", str(TOGETHER))),
    ):
        say(f"{page}: {how} …")
        sweep = lambda name, trials, options=options: timed(
            *("sweep", "--config", page, "--sampler", "random", *OVER, *overrides, *options),
            *("--workdir", folder / name, "--trials", trials),
        )
        sweep(f"{at_a_time}warm", at_a_time + 1)
        seconds = sweep(f"{at_a_time}", trials)
        found = json.loads((folder / f"{at_a_time}" / RESULTS).read_text())["trials"]
        if failed := [trial for trial in found if trial["state"] != "complete"]:
            raise TrainingError(f"bench: {page}, {how}: {len(failed)} trials did not end well: {failed[0]['why']}")
        row = {"page": page, "how": how, "trials": trials, "trials_per_hour": 3600 * trials / seconds}
        row["ratio"] = each * trials / seconds
        row["ratio_under_way"] = at_a_time * _speed(folder / f"{at_a_time}" / TRIALS / "0000") / steady
        if how == "one program":
            cpu = "cores" in json.loads((folder / "alone0" / SUMMARY).read_text())["hardware"]
            row["wanted"] = on_cpu if cpu else on_accelerator
            row["ok"] = row["ratio"] >= row["wanted"]
        yield row


def timed(*arguments) -> float:
    """Seconds that a `fovea` command takes in a process of its own."""
    began = time.perf_counter()
    run([*FOVEA, *map(str, arguments)], f"fovea {arguments[0]}")
    return time.perf_counter() - began


def _speed(workdir: pathlib.Path) -> float:
    """Examples a second of a run, once it is under way."""
    return statistics.median(r["time/examples_per_s"] for r in read(workdir) if "time/examples_per_s" in r)
