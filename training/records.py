"""What a run leaves behind while it goes on: `metrics.jsonl`, a progress bar, and what its trackers take."""

import json
import math
import pathlib
import time
from collections.abc import Mapping, Sequence

import numpy as np
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from training.trackers import Followed, Hyperparameters, open_trackers

METRICS = "metrics.jsonl"
SECONDS = "time/seconds"  # in every record: wall time since the run was first started


def read(workdir: pathlib.Path) -> list[dict]:
    """The records of a run, oldest first; a last line that was cut short is left out."""
    path = pathlib.Path(workdir) / METRICS
    records = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records


def plain(value):
    """A number, text or array as JSON has it, which knows no NaN: null."""
    if isinstance(value, np.ndarray | list):
        return [plain(x) for x in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Records:
    """Writes the records of a run. Only the main process has one.

    Args:
      workdir: where they go.
      steps: the length of the run, for the progress bar.
      start: the step from which it goes on: whatever was recorded after it is cut off.
      began: when the run was started, by `time.perf_counter()`; now, when None.
      quiet: whether nothing is printed: one run of many.
      once: evaluation sets that are measured at the end of the run only.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        steps: int,
        start: int,
        began: float | None = None,
        quiet: bool = False,
        once: Sequence[str] = ("test",),
    ):
        self._path = pathlib.Path(workdir) / METRICS
        # The sets that are measured once, at the end, are measured again.
        final = tuple(f"{name}/" for name in once)
        kept = [r for r in read(workdir) if r["step"] <= start and not any(name.startswith(final) for name in r)]
        partial = self._path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(r) + "\n" for r in kept))
        partial.rename(self._path)
        self._file = self._path.open("a")
        self._steps, self._start, self._began = steps, start, time.perf_counter()
        # The time of what came before an interruption counts too.
        self._origin = (began or self._began) - max((r.get(SECONDS, 0.0) for r in kept), default=0.0)
        self.console = Console(stderr=True, quiet=quiet, highlight=False, markup=False, emoji=False)
        self._followed = Followed([], warn=self.say)
        self._bar = None
        if self.console.is_terminal and not quiet:
            self._bar = Progress(
                TextColumn("step"),
                MofNCompleteColumn(),
                BarColumn(),
                TextColumn("{task.fields[text]}", markup=False),
                TimeRemainingColumn(),
                console=self.console,
            )
            self._bar.add_task("train", total=steps, completed=start, text="compiling …")
            self._bar.start()

    def track(self, names: Sequence[str], project: str, hyperparameters: Hyperparameters) -> None:
        """From here on the trackers called `names` follow the run; see `training.trackers.open_trackers`."""
        self._followed = Followed(
            open_trackers(names, self._path.parent, self._start, project, hyperparameters), warn=self.say
        )

    @property
    def seconds(self) -> float:
        """Wall time that the run has taken until now, over all its starts."""
        return time.perf_counter() - self._origin

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One record: plain numbers, keyed "train/loss", "validation/accuracy", "time/examples_per_s"."""
        values = {**values, SECONDS: round(self.seconds, 3)}
        self._file.write(json.dumps({"step": step, **{name: plain(value) for name, value in values.items()}}) + "\n")
        self._file.flush()
        self._followed.log(step, values)
        text = "  ".join(f"{name} {_short(value)}" for name, value in values.items() if _shown(name))
        if self._bar:
            if any(name.startswith("train/") for name in values):
                self._bar.update(self._bar.task_ids[0], completed=step, text=text)
            else:
                self.say(f"step {step}  {text}")
        else:
            self.say(f"step {step}/{self._steps}  {text}{self._remaining(step, values)}")

    def image(self, name: str, step: int, image) -> None:
        """A picture [H, W, C] uint8 for the trackers."""
        self._followed.image(name, step, image)

    def finish(self, step: int, values: Mapping[str, float]) -> None:
        """The last record, after which the run has ended."""
        self.write(step, values)
        self._followed.finish()

    def advance(self, step: int) -> None:
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=step)

    def say(self, line: str) -> None:
        self.console.print(line, soft_wrap=True)

    def close(self) -> None:
        if self._bar:
            self._bar.stop()
        self._file.close()
        self._followed.close()

    def _remaining(self, step, values):
        if not any(name.startswith("train/") for name in values) or step <= self._start:
            return ""
        seconds = (time.perf_counter() - self._began) / (step - self._start) * (self._steps - step)
        return f"  eta {int(seconds // 60)}:{int(seconds % 60):02d}"


def table(summary: Mapping, title: str = "") -> Table:
    """The final numbers of a run, for `rich` to print."""
    rows = Table(title=title or None, title_justify="left", show_header=False, box=box.SIMPLE_HEAD)
    rows.add_column(style="bold", no_wrap=True)
    rows.add_column(overflow="fold")
    for name, value in summary.items():
        if not isinstance(value, list | dict):
            rows.add_row(name, _short(value))
    return rows


def _shown(name: str) -> bool:
    quiet = ("_norm", "learning_rate", "time/wait_share", "time/macs_per_s", "seconds", "weights", "peak_mb")
    return not name.endswith(quiet)


def _short(value) -> str:
    """A number or text; "–" for a number that could not be measured."""
    return "–" if plain(value) is None else f"{value:.4g}" if isinstance(value, float) else str(value)
