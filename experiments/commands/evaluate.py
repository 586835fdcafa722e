"""`fovea eval` and `fovea predict`: what a trained network is worth, and what it says."""

import argparse
import json
import pathlib

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from data.decode import CORRUPT, decode
from data.errors import DataError
from data.source import Info
from experiments.build import build
from experiments.component import PageError

EVALUATIONS = "eval.json"


def evaluate(options: argparse.Namespace) -> None:
    """Prints the metrics of a split and keeps them in `eval.json`: one record for each split and step."""
    run = build(options.page, options.workdir)
    numbers = run.evaluate(options.split, options.step)
    record = {"split": options.split, **{name: _plain(value) for name, value in numbers.items()}}

    path = run.workdir / EVALUATIONS
    records = json.loads(path.read_text()) if path.exists() else []
    same = lambda other: all(other[key] == record[key] for key in ("split", "step"))
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps([*(r for r in records if not same(r)), record], indent=1))
    partial.rename(path)

    table = Table("metric", "value")
    for name, value in record.items():
        if not isinstance(value, list):
            table.add_row(name, f"{value:.6g}" if isinstance(value, float) else str(value))
    Console().print(table)


def _plain(value):
    """A number or array for JSON, which has no NaN: null."""
    if isinstance(value, np.ndarray | list):
        return [_plain(x) for x in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and np.isnan(value) else value


def predict(options: argparse.Namespace) -> None:
    """One line for each image; what the task draws of it goes to --out."""
    run, out = build(options.page, options.workdir), pathlib.Path(options.out)
    if run.task.explain is None:
        raise PageError(f"task {options.page.task.name!r} has nothing to say about single images")
    section, info = options.page.data, run.parts.info
    files = [pathlib.Path(name) for name in options.images]
    images = np.stack([read(file, info, section.get("image_size"), section.get("crop", "resize")) for file in files])
    outputs = run.predict(images, options.step)
    for i, file in enumerate(files):
        line, pictures = run.task.explain(images[i], {name: x[i] for name, x in outputs.items()}, info)
        for name, picture in pictures.items():
            out.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture.squeeze()).save(out / f"{file.stem}_{name}.png")
        print(f"{file}: {line}")


def read(file: pathlib.Path, info: Info, size: int | None, crop: str) -> np.ndarray:
    """An image [H, W, C] uint8 as the data set reads its own; where that crops nothing, resized if need be.

    Raises DataError naming a file that is missing or no image.
    """
    height, width, channels = info.shape
    try:
        image = decode(file, channels, size, crop)
    except FileNotFoundError as error:
        raise DataError(f"there is no image {file}") from error
    except CORRUPT as error:
        raise DataError(f"cannot read image {file}: {error}") from error
    if image.shape == info.shape:
        return image
    resized = Image.fromarray(image.squeeze()).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized).reshape(info.shape)
