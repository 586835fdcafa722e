"""`fovea bench`: measures a page or a suite, prints the numbers side by side and writes them as JSON."""

import argparse
import json
import pathlib

from rich.console import Console
from rich.table import Table

from experiments.bench import SUITES, loop_against_step, say
from experiments.component import PageError, near
from experiments.provenance import origin


def bench(options: argparse.Namespace) -> None:
    if options.suite and options.suite not in SUITES:
        raise PageError(f"unknown suite {options.suite!r}{near(options.suite, SUITES)}")
    if options.suite:
        rows = list(SUITES[options.suite]())
    else:
        say(f"loop against step: {options.config} …")
        rows = [{"page": options.config, **loop_against_step(options.page)}]
    for group in _alike(rows):
        table = Table(*(name.replace("_", " ") for name in group[0]))
        for row in group:
            table.add_row(*map(_text, row.values()))
        Console().print(table)
    report = {"what": options.suite or options.config, **origin(), "rows": rows}
    pathlib.Path(options.out).write_text(json.dumps(report, indent=1) + "\n")
    print(f"written to {options.out}")


def _alike(rows):
    """The rows in groups of equal columns, one table each."""
    groups = {}
    for row in rows:
        groups.setdefault(tuple(row), []).append(row)
    return groups.values()


def _text(value):
    if isinstance(value, bool):
        return "ok" if value else "missed"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
