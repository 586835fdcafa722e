"""`fovea ps`, `fovea stop` and `fovea compare`: what runs there are, and how two of them differ.

All of it is read from the work directories: there is no server. `ps` and `stop` need no jax.
"""

import argparse
import json
import math
import os
import pathlib
import platform
import signal
import statistics
import warnings
from collections.abc import Mapping

from rich.table import Table

from experiments.errors import PageError
from experiments.ledger.rows import goal
from experiments.pages.schema import STORED, SUMMARY, completed, difference
from experiments.runs.workdir import find, holder, state
from experiments.terminal import show
from training.records import read


def ps(options: argparse.Namespace) -> None:
    """A line for each run under a folder."""
    root = pathlib.Path(options.root)
    if not root.is_dir():
        raise PageError(f"there is no folder {root}")
    table = Table("run", "state", "step", "examples/s", "best")
    for workdir in sorted(find(root)):
        try:
            found = look(workdir)
        except (KeyError, TypeError, ValueError):  # a config.json that is not ours
            continue
        table.add_row(str(workdir.relative_to(root)), *(found[name] for name in ("state", "step", "speed", "best")))
    show(table)


def look(workdir: pathlib.Path) -> dict[str, str]:
    """State, step, speed and best validation (of a finished run: the test's) of a run, as text."""
    records, config = read(workdir), json.loads((workdir / STORED).read_text())
    trained = [record for record in records if "time/examples_per_s" in record]
    last = trained[-1] if trained else {"step": 0, "time/examples_per_s": 0.0}
    return {
        "state": state(workdir),
        "step": f"{last['step']:,} of {config['train']['steps']:,}",
        "speed": f"{last['time/examples_per_s']:,.0f}",
        "best": _best(records, config["paper"]["metric"].rpartition("/")[2]),
    }


def _best(records, wanted: str) -> str:
    """The best (else the last) value of a metric, over the last split measured: of `wanted`, else of the first."""
    for split in ("test/", "validation/"):
        rows = [r for r in records if any(name.startswith(split) for name in r)]
        names = [k for k, v in rows[-1].items() if k.startswith(split) and isinstance(v, float | int)] if rows else []
        if names:
            name = split + wanted if split + wanted in names else names[0]
            values = [row[name] for row in rows if row.get(name) is not None]
            best = {"min": min, "max": max}.get(goal(name), lambda found: found[-1])
            return f"{name} {best(values or [math.nan]):.4g}"
    return ""


def stop(options: argparse.Namespace) -> None:
    """Asks a run to save and end, as Ctrl-C does."""
    workdir = pathlib.Path(options.workdir)
    said = holder(workdir)
    if not said["held"]:
        raise PageError(f"nothing runs in {workdir}")
    if said.get("host") != platform.node():
        raise PageError(f"the run in {workdir} is on {said.get('host')}: stop it there")
    os.kill(said["pid"], signal.SIGTERM)
    print(f"asked process {said['pid']} to save and end; `fovea train` goes on from there")


def compare(options: argparse.Namespace) -> None:
    """Prints in what two runs, or two folders of seeds, differ: page and final numbers."""
    first, second = (ended(pathlib.Path(folder)) for folder in (options.first, options.second))
    for line in difference(first[0][0], second[0][0]):
        if not line.startswith("train.seed:"):
            print(line.replace("stored", options.first).replace("given", options.second))
    table = Table("metric", options.first, options.second, "difference", "p (Welch)")
    shared = [k for k, v in first[0][1].items() if k.startswith("test/") and isinstance(v, float | int)]
    for name in shared:
        values = [[summary[name] for _, summary in runs if summary.get(name) is not None] for runs in (first, second)]
        if all(values):
            table.add_row(name, *compared(*values))
    show(table)


def compared(a: list[float], b: list[float]) -> tuple[str, str, str, str]:
    """Mean ± deviation of both, their difference, and how probable so large a one is without a cause."""
    from scipy.stats import ttest_ind  # takes longer than all that `ps` does

    text = lambda x: f"{statistics.fmean(x):.5g}" + (f" ± {statistics.stdev(x):.2g} ({len(x)})" if len(x) > 1 else "")
    p = "one seed"
    if min(len(a), len(b)) > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of numbers that are all the same, for which there is no p
            p = f"{ttest_ind(a, b, equal_var=False).pvalue:.2g}".replace("nan", "")
    return text(a), text(b), f"{statistics.fmean(b) - statistics.fmean(a):+.4g}", p


def ended(folder: pathlib.Path) -> list[tuple[Mapping, Mapping]]:
    """(page, final numbers) of the ended runs in a folder, which are of one page but for their seeds."""
    found = [workdir for workdir in sorted(find(folder)) if (workdir / SUMMARY).exists()]
    if not found:
        raise PageError(f"no run has ended in {folder}")
    stored = lambda workdir, name: json.loads((workdir / name).read_text())
    runs = [(completed(stored(workdir, STORED)), stored(workdir, SUMMARY)) for workdir in found]
    for workdir, (page, _) in zip(found, runs, strict=True):
        lines = [line for line in difference(runs[0][0], page) if not line.startswith("train.seed:")]
        if lines:
            raise PageError(f"{workdir} ran another page than {found[0]}: {'; '.join(lines)}")
    return runs
