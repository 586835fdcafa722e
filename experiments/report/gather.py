"""The data of a report, read from the folders of runs and sweeps without a server.

It is plain JSON. Long lists of numbers are packed, little-endian and in base64, so that a browser opens a hundred runs
of ten thousand points in a second.
"""

import base64
import io
import json
import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from experiments.errors import PageError
from experiments.ledger import rows as book
from experiments.pages.stored import RESULTS, STORED, SUMMARY, SWEEP, read, read_json, read_summary
from experiments.runs.readings import better, of_run
from experiments.runs.workdir import find, state
from training.records import SECONDS
from training.records import read as read_records

GALLERIES = ("samples", "examples")  # folders of step_<N>.png
REDRAWN = ("curves",)  # pictures that the report draws itself
WIDEST, MOST = 1400, 40  # pixels of a picture; pictures of a gallery


def gather(folders: Sequence[pathlib.Path]) -> dict[str, Any]:
    """Everything about the runs and sweeps in some folders; without folders only the ledger.

    Returns:
      title: text.
      steps: lists of steps, float64, packed; runs that share one point to it.
      runs: see `run`.
      sweeps: see `sweep`.
      goals: metric -> "min" or "max", where the runs recorded which is better.
      ledger: rows as text, column by column, with their `command`, and the numbers by which they are sorted.

    Raises:
      PageError: a missing folder, one without runs and sweeps, a file that is not JSON.
    """
    inside = {folder: [*_sorted(find(folder)), *_sorted(sweeps(folder))] for folder in map(_existing, folders)}
    for folder, found in inside.items():
        if not found:
            raise PageError(f"there is no run and no sweep in {folder}")
    base = _base(list(inside))
    label = lambda path: os.path.relpath(path, base)
    found = list(dict.fromkeys(path for paths in inside.values() for path in paths))
    packed: dict[str, int] = {}
    runs = [{"label": label(path), **run(path, packed)} for path in found if (path / STORED).exists()]
    metrics = {name for one in runs for name in one["final"]}
    readings = {name: x for path in found if (path / STORED).exists() for name, x in of_run(path).items()}
    return {
        "title": ", ".join(folder.name for folder in inside) or "Reproductions",
        "steps": list(packed),
        "runs": runs,
        "sweeps": [{"label": label(path), **sweep(path)} for path in found if (path / SWEEP).exists()],
        "goals": {name: goal for name in sorted(metrics) if (goal := better(readings, name))},
        "ledger": [_ledger(row) for row in book.rows(book.RESULTS)],
    }


def run(workdir: pathlib.Path, packed: dict[str, int]) -> dict[str, Any]:
    """A run, ended or not.

    Args:
      packed: lists of steps -> their index; grows.

    Returns:
      state: as in `fovea ps`. step: last recorded. config: its page.
      final: the last value of each number of the evaluation sets; those measured once are in the summary.
      curves: see `curves`.
      galleries: name -> pictures with their `step`. pictures: others, with their `name`.
    """
    records = read_records(workdir)
    summary, config = _finite(read_summary(workdir)) if (workdir / SUMMARY).exists() else {}, _finite(read(workdir))
    sets = {"validation", "test", *config.get("evaluate", {})}
    own = lambda numbers, names: {k: v for k, v in numbers.items() if k.partition("/")[0] in names}
    measured = [own(record, sets - {"test"}) for record in records]
    measured.append({k: v for k, v in own(summary, sets).items() if not isinstance(v, list | dict)})
    return {
        "state": state(workdir),
        "step": records[-1]["step"] if records else 0,
        "seconds": summary.get("seconds", records[-1].get(SECONDS) if records else None),
        "config": config,
        "final": {k: v for record in measured for k, v in record.items() if v is not None and v == v},
        "curves": curves(records, packed),
        "galleries": {name: shown for name in GALLERIES if (shown := gallery(workdir / name))},
        "pictures": list(_pictures((path.stem, path) for path in _sorted(workdir.glob("*.png")))),
    }


def curves(records: Sequence[Mapping], packed: dict[str, int]) -> list[dict[str, Any]]:
    """The numbers of a run over its steps, except the test's, grouped by the steps at which they were recorded.

    Returns:
      steps: which of `packed`. seconds: float32 [N], packed. until: the last of both.
      values: metric -> float32 [N], packed, NaN where the record has null.
    """
    places: dict[str, list[int]] = {}
    for i, record in enumerate(records):
        for name, value in record.items():
            if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
                places.setdefault(name, []).append(i)
    together: dict[tuple[int, ...], list[str]] = {}
    for name, where in places.items():
        if name not in ("step", SECONDS) and not name.startswith("test/"):
            together.setdefault(tuple(where), []).append(name)
    found = []
    for where, names in together.items():
        column = lambda name, where=where: [records[i].get(name) for i in where]
        steps, seconds = column("step"), column(SECONDS)
        found.append(
            {
                "steps": packed.setdefault(pack(steps, "<f8"), len(packed)),
                "seconds": pack(seconds),
                "until": {"steps": steps[-1], "seconds": seconds[-1]},
                "values": {name: pack(column(name)) for name in names},
            }
        )
    return found


def pack(numbers: Sequence[float | None], kind: str = "<f4") -> str:
    """Numbers as base64 of `kind`; None is NaN."""
    with np.errstate(over="ignore"):  # values beyond float32 become infinite, and are drawn as a gap
        return base64.b64encode(np.array(numbers, float).astype(kind).tobytes()).decode()


def gallery(folder: pathlib.Path) -> list[dict[str, Any]]:
    """The pictures `step_<N>.png` in a folder, by step: all, or `MOST` spread evenly from the first to the last."""
    steps = {int(match[1]): path for path in folder.glob("*.png") if (match := re.fullmatch(r"step_(\d+)", path.stem))}
    order = sorted(steps)
    kept = [order[i] for i in np.unique(np.linspace(0, len(order) - 1, min(len(order), MOST)).round().astype(int))]
    return [{**shown, "step": int(shown.pop("name"))} for shown in _pictures((str(n), steps[n]) for n in kept)]


def picture(path: pathlib.Path) -> dict[str, Any]:
    """`src`, a data URI, and `width` and `height` in pixels: at most `WIDEST` wide, as WebP where that is smaller."""
    with Image.open(path) as image:
        shown = image.convert("RGB")
    if shown.width > WIDEST:
        shown = shown.resize((WIDEST, round(shown.height * WIDEST / shown.width)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    shown.save(buffer, "WEBP", quality=85)
    kind, content = min(("webp", buffer.getvalue()), ("png", path.read_bytes()), key=lambda pair: len(pair[1]))
    text = base64.b64encode(content).decode()
    return {"src": f"data:image/{kind};base64,{text}", "width": shown.width, "height": shown.height}


def sweeps(root: pathlib.Path) -> Iterator[pathlib.Path]:
    """The folders of sweeps in a folder, itself included."""
    for folder, inner, files in os.walk(root):
        if STORED in files:  # a run: folders inside it belong to it
            inner.clear()
        if SWEEP in files:
            yield pathlib.Path(folder)


def sweep(folder: pathlib.Path) -> dict[str, Any]:
    """The plan of a sweep in `sweep.json`, and the trials that `results.json` has so far."""
    asked = _finite(read_json(folder / SWEEP))
    found = _finite(read_json(folder / RESULTS)) if (folder / RESULTS).exists() else {"trials": [], "importance": None}
    return {
        **{key: asked.get(key) for key in ("metric", "goal", "over", "sampler", "pruner")},
        "planned": asked.get("trials"),
        "trials": found["trials"],
        "seconds": found.get("seconds"),
        "importance": found["importance"],
    }


def _existing(folder: pathlib.Path) -> pathlib.Path:
    if not folder.is_dir():
        raise PageError(f"there is no folder {folder}")
    return folder.resolve()


def _sorted(paths):
    """seed2 before seed10."""
    return sorted(paths, key=lambda path: [int(x) if x.isdigit() else x for x in re.split(r"(\d+)", str(path))])


def _base(folders: list[pathlib.Path]) -> pathlib.Path:
    """The folder to which the names of runs and sweeps are relative. A run given by itself keeps its name."""
    base = pathlib.Path(os.path.commonpath(folders)) if folders else pathlib.Path()
    return base.parent if (base / STORED).exists() else base


def _ledger(row) -> dict[str, Any]:
    keys = {"published": "published", "ours": "mean", "steps": "steps", "wall time": "seconds"}
    return {**book.cells(row), "command": row["command"], "keys": {name: row.get(key) for name, key in keys.items()}}


def _pictures(named) -> Iterator[dict[str, Any]]:
    for name, path in named:
        if name not in REDRAWN:
            try:
                shown = picture(path)
            except (OSError, ValueError, SyntaxError):  # a running process may be writing it
                continue
            yield {"name": name, **shown}


def _finite(content: Any) -> Any:
    """The same, with None for NaN and infinities, which the JSON of browsers does not have."""
    return json.loads(json.dumps(content), parse_constant=lambda _: None)
