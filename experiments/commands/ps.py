"""`fovea ps`: the runs under a folder, read from their work directories. There is no server, and no jax is needed."""

import argparse
import pathlib
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from experiments.errors import PageError
from experiments.pages.stored import read as read_stored
from experiments.runs.readings import Readings, better, of_run
from experiments.runs.workdir import find, state
from experiments.terminal import show
from training.records import read


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("root", nargs="?", default=".", metavar="DIR")


def run(options: argparse.Namespace) -> None:
    """A line for each run under a folder."""
    root = pathlib.Path(options.root)
    if not root.is_dir():
        raise PageError(f"there is no folder {root}")
    table = Table("run", "state", "step", "examples/s", "of peak", "memory", "best")
    for workdir in sorted(find(root)):
        try:
            found = look(workdir)
        except (KeyError, TypeError, ValueError):  # a config.json of another program
            continue
        table.add_row(str(workdir.relative_to(root)), *found.values())
    show(table)


def look(workdir: pathlib.Path) -> dict[str, str]:
    """State, step, speed, share of the devices' peak where it is known, peak memory and best number, as text.

    The best is of the test set where that is measured, else of the validation set, else of another evaluation set.
    """
    records, config = read(workdir), read_stored(workdir)
    trained = [record for record in records if "time/examples_per_s" in record]
    last = trained[-1] if trained else {"step": 0, "time/examples_per_s": 0.0}
    return {
        "state": state(workdir),
        "step": f"{last['step']:,} of {config['train']['steps']:,}",
        "speed": f"{last['time/examples_per_s']:,.0f}",
        "utilisation": f"{last['time/utilisation']:.0%}" if "time/utilisation" in last else "",
        "memory": f"{last['memory/peak_mb']:,.0f} MB" if "memory/peak_mb" in last else "",
        "best": _best(records, config, of_run(workdir)),
    }


def _best(records, config: Mapping[str, Any], readings: Readings) -> str:
    """The best value of the page's metric, or of the first number, of one set; the last if neither end is better."""
    wanted = config["paper"]["metric"].rpartition("/")[2]
    for name in ("test", "validation", *config.get("evaluate", {})):
        split = f"{name}/"
        measured = [(k, v) for r in records for k, v in r.items() if k.startswith(split) and isinstance(v, float | int)]
        names = [name for name, _ in measured]
        if names:
            name = split + wanted if split + wanted in names else names[0]
            values = [value for found, value in measured if found == name]
            best = {"min": min, "max": max}.get(better(readings, name), lambda found: found[-1])
            return f"{name} {best(values):.4g}"
    return ""
