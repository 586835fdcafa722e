"""What the terminal shows of a sweep: a bar while it runs, a table of the best trials at the end."""

import math
import time

from rich import progress as bar
from rich.console import Console
from rich.table import Table

from experiments.sweeps.sweep import Sweep
from experiments.terminal import AS_IT_IS, show

SHOWN = 10  # trials in the table


class Progress:
    """A bar with the number of ended trials, the best so far, and the time left at this pace."""

    EVERY = 2.0  # seconds between two looks while no trial ends here

    def __init__(self, sweep: Sweep):
        self._sweep, self._began, self._looked, self._shares = sweep, time.monotonic(), -math.inf, {}
        self._before = self._told = _ended(sweep.results())
        console = Console(stderr=True, **AS_IT_IS)
        self._bar = bar.Progress(bar.TextColumn("{task.fields[text]}", markup=False), bar.BarColumn(), console=console)
        self._task = self._bar.add_task("sweep", total=sweep.limit, text="compiling …")
        self._bar.disable = not console.is_terminal

    def __enter__(self):
        self._bar.start()
        return self

    def __exit__(self, *_):
        self._bar.stop()

    def show(self, number: int, done: int | None) -> None:
        """A trial of this worker has done `done` steps, or has ended."""
        self._shares[number] = 1.0 if done is None else done / self._sweep.base.train.steps
        if done is None or (not self._bar.disable and time.monotonic() - self._looked > self.EVERY):
            self.look()

    def look(self) -> None:
        """Prints the trials that ended since the last look, in any process."""
        self._looked, found, limit = time.monotonic(), self._sweep.results(), self._sweep.limit
        ended = _ended(found)
        under_way = sum(share for number, share in self._shares.items() if number not in ended)
        left, here = max(limit - len(ended) - under_way, 0.0), len(ended - self._before) + under_way
        seconds = round((self._looked - self._began) * left / here) if here else 0
        text = f"{len(ended)} of {limit} trials"
        if found["best"] is not None:
            text += f"  best {found['trials'][found['best']]['value']:.5g} (trial {found['best']})"
        text += f"  eta {seconds // 60}:{seconds % 60:02d}"
        self._bar.update(self._task, completed=limit - left, text=text)
        for number in sorted(ended - self._told):
            row = found["trials"][number]
            value = "" if row["value"] is None else f" {row['value']:.5g}"
            why = f": {row['why']}" if row["why"] else ""
            line = f"trial {number} {row['state']}{value}{why}" + (f"  {text}" if self._bar.disable else "")
            self._bar.console.print(line, soft_wrap=True)
        self._told = ended


def _ended(results) -> set[int]:
    return {row["number"] for row in results["trials"] if row["state"] not in ("running", "waiting")}


def print_table(found) -> None:
    """The best trials, and how many there are of each state."""
    table = Table("trial", found["metric"], "step", *found["over"], "seconds")
    rows = [row for row in found["trials"] if row["value"] is not None and row["state"] != "failed"]
    rows.sort(key=lambda row: row["value"], reverse=found["goal"] == "max")
    text = lambda x: f"{x:.4g}" if isinstance(x, float) else str(x)
    for row in rows[:SHOWN]:
        value = f"{row['value']:.5g}" + (" (pruned)" if row["state"] == "pruned" else "")
        seconds = "" if row["seconds"] is None else f"{row['seconds']:.0f}"
        table.add_row(
            str(row["number"]), value, str(row["step"]), *(text(row["params"][key]) for key in found["over"]), seconds
        )
    show(table)
    counts = {}
    for row in found["trials"]:
        counts[row["state"]] = counts.get(row["state"], 0) + 1
    print(", ".join(f"{count} {state}" for state, count in counts.items()))
    for row in found["trials"]:
        if row["why"]:
            print(f"trial {row['number']} failed: {row['why']}")
