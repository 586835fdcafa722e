"""`fovea compare`: how the pages and the final numbers of two runs, or two folders of seeds, differ."""

import argparse
import pathlib
import statistics
import warnings
from collections.abc import Mapping

from rich.table import Table

from experiments.errors import PageError
from experiments.pages.stored import SUMMARY, completed, difference, read, read_summary
from experiments.runs.readings import NOT_MEASURED, better
from experiments.runs.workdir import find
from experiments.terminal import show


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", metavar="A")
    parser.add_argument("second", metavar="B")


def run(options: argparse.Namespace) -> None:
    """Prints the keys of the pages and the final numbers in which the two differ."""
    first, second = (ended(pathlib.Path(folder)) for folder in (options.first, options.second))
    for line in difference(first[0][0], second[0][0]):
        if not line.startswith("train.seed:"):
            print(line.replace("stored", options.first).replace("given", options.second))
    table = Table("metric", options.first, options.second, "difference", "p (Welch)")
    number = lambda value: value is None or isinstance(value, float | int)
    sets = {"test", *first[0][0].get("evaluate", {})}
    shared = [k for k, v in first[0][1].items() if k.partition("/")[0] in sets and number(v)]
    for name in shared:
        values = [[summary[name] for _, summary in runs if summary.get(name) is not None] for runs in (first, second)]
        if all(values):
            *cells, p = compared(*values)
            change = statistics.fmean(values[1]) - statistics.fmean(values[0])
            direction = better(first[0][1].get("readings", {}), name)
            good = {"min": change < 0, "max": change > 0}.get(direction)
            cells[-1] += {True: " (better)", False: " (worse)", None: ""}[good if change else None]
            table.add_row(name, *cells, p)
        else:  # one of them has no number
            table.add_row(name, *(f"{statistics.fmean(x):.5g}" if x else NOT_MEASURED for x in values), "", "")
    show(table)


def compared(a: list[float], b: list[float]) -> tuple[str, str, str, str]:
    """Mean ± deviation of both, their difference, and the p-value of Welch's t-test."""
    from scipy.stats import ttest_ind  # takes a second to import

    text = lambda x: f"{statistics.fmean(x):.5g}" + (f" ± {statistics.stdev(x):.2g} ({len(x)})" if len(x) > 1 else "")
    p = "one seed"
    if min(len(a), len(b)) > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # p is undefined where all numbers are equal
            p = f"{ttest_ind(a, b, equal_var=False).pvalue:.2g}".replace("nan", "")
    return text(a), text(b), f"{statistics.fmean(b) - statistics.fmean(a):+.4g}", p


def ended(folder: pathlib.Path) -> list[tuple[Mapping, Mapping]]:
    """(page, final numbers) of the ended runs in a folder, all of one page; seeds may differ."""
    found = [workdir for workdir in sorted(find(folder)) if (workdir / SUMMARY).exists()]
    if not found:
        raise PageError(f"no run has ended in {folder}")
    runs = [(completed(read(workdir)), read_summary(workdir)) for workdir in found]
    for workdir, (page, _) in zip(found, runs, strict=True):
        lines = [line for line in difference(runs[0][0], page) if not line.startswith("train.seed:")]
        if lines:
            raise PageError(f"{workdir} ran another page than {found[0]}: {'; '.join(lines)}")
    return runs
