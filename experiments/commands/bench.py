"""`fovea bench`: measures a page or a suite, prints the numbers side by side and writes them as JSON."""

import argparse
import json
import pathlib

from rich.table import Table

from experiments.bench.families import families_suite
from experiments.bench.loop import loop_against_step, loop_suite, scale_suite, startup_suite, stream_suite
from experiments.bench.sweep import sweep_suite
from experiments.errors import PageError, near
from experiments.runs.provenance import origin
from experiments.terminal import say, show

SUITES = {
    "loop": loop_suite,
    "stream": stream_suite,
    "scale": scale_suite,
    "startup": startup_suite,
    "families": families_suite,
    "sweep": sweep_suite,
}


def bench(options: argparse.Namespace) -> None:
    if options.suite and options.suite not in SUITES:
        raise PageError(f"unknown suite {options.suite!r}{near(options.suite, SUITES)}")
    if options.torch and options.suite != "families":
        raise PageError("--torch is for the suite 'families'")
    report, out = {"what": options.suite or options.config, "rows": []}, pathlib.Path(options.out)
    for row in _suite(options) if options.suite else _one(options):
        say("  ".join(f"{name} {_text(value)}" for name, value in row.items()))
        report["rows"].append(row)
        out.write_text(json.dumps(report, indent=1) + "\n")  # already now: a suite takes minutes
    # Asked last, since it takes the device, which a suite's own processes need.
    out.write_text(json.dumps({**report, **origin()}, indent=1) + "\n")
    for group in _alike(report["rows"]):
        table = Table(*(name.replace("_", " ") for name in group[0]))
        for row in group:
            table.add_row(*map(_text, row.values()))
        show(table)
    print(f"written to {out}")


def _suite(options):
    return SUITES[options.suite](**({"torch": options.torch} if options.torch else {}))


def _one(options):
    say(f"loop against step: {options.config} …")
    yield {"page": options.config, **loop_against_step(options.page)}


def _alike(rows):
    """The rows in groups of equal columns, one table each."""
    groups = {}
    for row in rows:
        groups.setdefault(tuple(row), []).append(row)
    return groups.values()


def _text(value):
    if isinstance(value, bool):
        return "ok" if value else "missed"
    if isinstance(value, list):
        return " … ".join(map(_text, value))
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
