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
from training.records import plain
from training.tiling import predict_tiled

EVALUATIONS = "eval.json"


def evaluate(options: argparse.Namespace) -> None:
    """Prints the metrics of a split and keeps them in `eval.json`: one record for each split and step."""
    run = build(options.page, options.workdir)
    numbers = run.evaluate(options.split, options.step)
    record = {"split": options.split, **{name: plain(value) for name, value in numbers.items()}}

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
        return decode(file, channels, size, crop)
    except FileNotFoundError as error:
        raise DataError(f"there is no image {file}") from error
    except CORRUPT as error:
        raise DataError(f"cannot read image {file}: {error}") from error
