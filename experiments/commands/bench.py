"""`fovea bench`: measures a page or a suite, prints the numbers side by side and writes them as JSON."""

import argparse
import json
import pathlib
import pkgutil

from rich.table import Table

from experiments.commands.page import add_config
from experiments.commands.values import output
from experiments.errors import PageError, near
from experiments.terminal import say, show

SUITES = {
    "loop": "experiments.bench.loop:loop_suite",
    "stream": "experiments.bench.stream:stream_suite",
    "scale": "experiments.bench.scale:scale_suite",
    "startup": "experiments.bench.startup:startup_suite",
    "families": "experiments.bench.families:families_suite",
    "sweep": "experiments.bench.sweep:sweep_suite",
    "rehearse": "experiments.bench.rehearse:rehearse_suite",
}
BESIDE_TORCH = ("families", "stream")


def arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    add_config(what, required=False)
    what.add_argument("--suite", metavar="NAME", help=", ".join(SUITES))
    parser.add_argument(
        "--tune", action="store_true", help="with --config: which choices of XLA's CPU backend are fastest"
    )
    parser.add_argument(
        "--torch", metavar="PYTHON", help="families, stream: a Python that has torch; default: this one"
    )
    parser.add_argument("--out", type=output, default="bench.json", metavar="FILE", help="the numbers as JSON")


def run(options: argparse.Namespace) -> None:
    """Prints the rows of a page or a suite as they are measured, then as tables, and writes them to --out."""
    from experiments.runs.provenance import origin

    if options.suite and options.suite not in SUITES:
        raise PageError(f"unknown suite {options.suite!r}{near(options.suite, SUITES)}")
    if options.torch and options.suite not in BESIDE_TORCH:
        raise PageError(f"--torch is for the suites {' and '.join(map(repr, BESIDE_TORCH))}")
    if options.tune and not options.config:
        raise PageError("--tune needs --config: it tries choices for one page")
    report, out = {"what": options.suite or options.config, "rows": []}, pathlib.Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    for row in _suite(options) if options.suite else _one(options):
        say("  ".join(f"{name} {_text(value)}" for name, value in row.items()))
        report["rows"].append(row)
        out.write_text(json.dumps(report, indent=1) + "\n")  # after every row: a suite takes minutes
    # Last, since it takes the device, which the processes of a suite need.
    out.write_text(json.dumps({**report, **origin()}, indent=1) + "\n")
    for group in _alike(report["rows"]):
        table = Table(*(name.replace("_", " ") for name in group[0]))
        for row in group:
            table.add_row(*map(_text, row.values()))
        show(table)
    print(f"written to {out}")


def _suite(options):
    suite = pkgutil.resolve_name(SUITES[options.suite])
    return suite(**({"torch": options.torch} if options.torch else {}))


def _one(options):
    if options.tune:
        from experiments.bench.tune import tune

        yield from tune(options.config, options.overrides)
        return
    from experiments.bench.loop import loop_against_step

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
