"""`fovea eval`: the metrics of a trained network on a split."""

import argparse
import dataclasses
import itertools
import json
import pathlib
from collections.abc import Callable

from rich.console import Console
from rich.progress import track
from rich.table import Table

from experiments.commands import closer
from experiments.commands.page import add_workdir
from experiments.commands.processes import add_processes, join
from experiments.commands.values import choices
from experiments.pages.overrides import override
from experiments.pages.stored import EVALUATIONS
from experiments.runs.readings import Readings, reading, shown
from experiments.terminal import AS_IT_IS, drawing, show
from training.atomic import replace


def arguments(parser: argparse.ArgumentParser) -> None:
    add_workdir(parser)
    parser.add_argument("--step", type=int, metavar="N", help="checkpoint; default: the best one, or the newest")
    parser.add_argument("--split", default="test", metavar="S", help="test, validation, train, or like test[:50%%]")
    over = "evaluate each value of a key of the page and draw the metrics against it"
    parser.add_argument("--over", action="append", type=choices, metavar="KEY=V,V,…", help=over)
    closer.add_closer(parser)
    add_processes(parser)


def run(options: argparse.Namespace) -> None:
    """Prints the metrics of a split and keeps them in `eval.json`, a record for each split, step and set of overrides.

    With --over it evaluates every combination of the given values, prints them side by side, and draws them against
    those of the first key.
    """
    from experiments.runs.run import build
    from training import pictures

    main = join(options)
    if closer.asked(options):
        closer.run(options)
        return
    if not options.over:
        record, readings = _measure(build, options, options.overrides)
        lists = [name for name, value in record.items() if isinstance(value, list) and _reading(readings, record, name)]
        cells = ([name, _cell(readings, record, name)] for name in [*_shown(record), *lists])
        if main:
            _print(Table("metric", "value"), cells)
        return
    keys = [key for key, _ in options.over]
    grid = [list(zip(keys, values, strict=True)) for values in itertools.product(*(v for _, v in options.over))]
    # Builds all of them before the first is measured: a value that does not fit is an error at once.
    for chosen in grid:
        _ = build(override(options.page, chosen), options.workdir).task
    progress = track(grid, console=Console(stderr=True, **AS_IT_IS))
    measured = [_measure(build, options, [*options.overrides, *chosen]) for chosen in progress]
    records = [record for record, _ in measured]
    if not main:
        return
    varying = [name for name in _shown(records[0]) if len({_text(record[name]) for record in records}) > 1]
    rows = [[value for _, value in chosen] for chosen in grid]
    cells = [[_cell(readings, record, name) for name in varying] for record, readings in measured]
    _print(Table(*keys, *varying), ([*row, *found] for row, found in zip(rows, cells, strict=True)))
    file = pathlib.Path(options.workdir) / f"over_{keys[0].rpartition('.')[2]}.png"
    with drawing(file.stem):
        pictures.save(pictures.trends(keys, rows, {name: [r[name] for r in records] for name in varying}), file)
        print(f"drawn in {file}")


def _measure(build: Callable, options, overrides) -> tuple[dict, Readings]:
    """The record of one evaluation, after adding it to `eval.json`, and the readings of its numbers."""
    from training import parallel
    from training.records import plain

    run = build(override(options.page, overrides), options.workdir)
    numbers = run.evaluate(options.split, options.step)
    record = {"split": options.split, "given": dict(overrides), **{name: plain(x) for name, x in numbers.items()}}
    if parallel.is_main():
        path = run.workdir / EVALUATIONS
        records = json.loads(path.read_text()) if path.exists() else []
        same = lambda other: all(other.get(key, {}) == record[key] for key in ("split", "step", "given"))
        replace(path, json.dumps([*(r for r in records if not same(r)), record], indent=1))
    return record, {name: dataclasses.asdict(found) for name, found in run.readings().items()}


def _shown(record):
    """The names of the numbers and texts of a record; a number that could not be measured is None."""
    return [name for name, value in record.items() if value is None or isinstance(value, float | int | str)]


def _reading(readings, record, name):
    return reading(readings, f"{record['split']}/{name}")


def _cell(readings, record, name):
    """A number in the unit of its reading, of a list the range; other values as they are."""
    value = record.get(name)
    measured = value is None or _reading(readings, record, name)
    return shown(readings, f"{record['split']}/{name}", value) if measured else value


def _print(table, rows):
    for row in rows:
        table.add_row(*map(_text, row))
    show(table)


def _text(x):
    return f"{x:.6g}" if isinstance(x, float) else str(x)
