"""`fovea eval` and `fovea predict`: what a trained network is worth, and what it says."""

import argparse
import itertools
import json
import pathlib

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from data.decode import read_image
from data.errors import DataError
from data.source import Info
from experiments.errors import PageError
from experiments.pages.schema import override
from experiments.runs.run import build
from training import pictures
from training.atomic import replace
from training.records import plain
from training.tiling import predict_tiled

EVALUATIONS = "eval.json"


def evaluate(options: argparse.Namespace) -> None:
    """Prints the metrics of a split and keeps them in `eval.json`, a record for each split, step and set of overrides.

    With --over, for every combination of the values given, side by side, and drawn against those of the first key.
    """
    if not options.over:
        record = _measure(options, options.overrides)
        _print(Table("metric", "value"), ([name, record[name]] for name in _shown(record)))
        return
    keys = [key for key, _ in options.over]
    grid = [list(zip(keys, values, strict=True)) for values in itertools.product(*(v for _, v in options.over))]
    # All of them before the first is measured: what one says against a value is said now, and not after minutes.
    for chosen in grid:
        _ = build(override(options.page, chosen), options.workdir).task
    records = [_measure(options, [*options.overrides, *chosen]) for chosen in track(grid, console=Console(stderr=True))]
    varying = [name for name in _shown(records[0]) if len({_text(record[name]) for record in records}) > 1]
    rows = [[value for _, value in chosen] for chosen in grid]
    _print(Table(*keys, *varying), ([*row, *map(r.get, varying)] for row, r in zip(rows, records, strict=True)))
    file = pathlib.Path(options.workdir) / f"over_{keys[0].rpartition('.')[2]}.png"
    pictures.save(pictures.trends(keys, rows, {name: [r[name] for r in records] for name in varying}), file)
    print(f"drawn in {file}")


def _measure(options, overrides) -> dict:
    """The record of one evaluation, which now stands in `eval.json`."""
    run = build(override(options.page, overrides), options.workdir)
    numbers = run.evaluate(options.split, options.step)
    record = {"split": options.split, "given": dict(overrides), **{name: plain(x) for name, x in numbers.items()}}
    path = run.workdir / EVALUATIONS
    records = json.loads(path.read_text()) if path.exists() else []
    same = lambda other: all(other.get(key, {}) == record[key] for key in ("split", "step", "given"))
    replace(path, json.dumps([*(r for r in records if not same(r)), record], indent=1))
    return record


def _shown(record):
    return [name for name, value in record.items() if isinstance(value, float | int | str)]


def _print(table, rows):
    for row in rows:
        table.add_row(*map(_text, row))
    Console().print(table)


def _text(x):
    return f"{x:.6g}" if isinstance(x, float) else str(x)


def predict(options: argparse.Namespace) -> None:
    """One line for each image; what the task draws of it goes to --out."""
    run, out = build(options.page, options.workdir), pathlib.Path(options.out)
    if run.task.explain is None:
        raise PageError(f"task {options.page.task.name!r} has nothing to say about single images")
    section, info = options.page.data, run.parts.info
    size, crop = section.get("image_size"), section.get("crop", "resize")
    files = [pathlib.Path(name) for name in options.images]
    if run.task.dense:
        images = [load(file, info.shape[-1], None, crop) for file in files]
        answers = [_dense(run, image, options.step) for image in images]
    else:
        images = np.stack([read(file, info, size, crop) for file in files])
        outputs = run.predict(images, options.step)
        answers = [{name: x[i] for name, x in outputs.items()} for i in range(len(files))]
    for file, image, answer in zip(files, images, answers, strict=True):
        line, pictures = run.task.explain(image, answer, info)
        for name, picture in pictures.items():
            out.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture.squeeze()).save(out / f"{file.stem}_{name}.png")
        print(f"{file}: {line}")


def _dense(run, image: np.ndarray, step: int | None) -> dict[str, np.ndarray]:
    """Outputs per pixel of an image [H, W, C]: at once where it is as large as those of the data set, else in tiles.

    A tile is as large as the network knows images to be. Half of its side is answered at a time, which divides evenly
    by what the network halves.
    """
    if image.shape == run.parts.info.shape:
        return {name: x[0] for name, x in run.predict(image[None], step).items()}
    side = max(32, min(run.parts.info.shape[:2]) // 32 * 32)
    batch_size = run.page.train.evaluate_batch_size
    tiles = lambda batch: run.predict(batch, step)
    return predict_tiled(tiles, image, tile=side, margin=side // 4, batch_size=batch_size)


def read(file: pathlib.Path, info: Info, size: int | None, crop: str) -> np.ndarray:
    """An image [H, W, C] uint8 as the data set reads its own; where that crops nothing, resized if need be.

    Raises DataError naming a file that is missing or no image.
    """
    height, width, channels = info.shape
    image = load(file, channels, size, crop)
    if image.shape == info.shape:
        return image
    resized = Image.fromarray(image.squeeze()).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized).reshape(info.shape)


def load(file: pathlib.Path, channels: int, size: int | None, crop: str) -> np.ndarray:
    """An image [H, W, C] uint8, as data/decode.py crops it. Raises DataError naming a file that is none."""
    try:
        return read_image(file, channels, size, crop)
    except DataError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise DataError(f"there is no image {file}") from error
        raise
