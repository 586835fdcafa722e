"""`fovea predict`: a trained network's outputs for images."""

import argparse
import pathlib

import numpy as np
from PIL import Image

from data.decode import read_image
from data.errors import DataError
from data.source import Info
from experiments.commands.page import add_workdir
from experiments.errors import PageError


def arguments(parser: argparse.ArgumentParser) -> None:
    add_workdir(parser)
    parser.add_argument("--step", type=int, metavar="N", help="checkpoint; default: the best one, or the newest")
    parser.add_argument("--out", metavar="DIR", default=".", help="folder for pictures, for tasks that draw them")
    parser.add_argument("images", nargs="+", metavar="IMAGE")


def run(options: argparse.Namespace) -> None:
    """Prints a line for each image; pictures that the task draws go to --out."""
    from experiments.runs.run import build

    trained, out = build(options.page, options.workdir), pathlib.Path(options.out)
    if trained.task.explain is None:
        raise PageError(f"task {options.page.task.name!r} has nothing to say about single images")
    section, info = options.page.data, trained.parts.info
    size, crop = section.get("image_size"), section.get("crop", "resize")
    files = [pathlib.Path(name) for name in options.images]
    if trained.task.dense:
        images = [load(file, info.shape[-1], None, crop) for file in files]
        answers = [_dense(trained, image, options.step) for image in images]
    else:
        images = np.stack([read(file, info, size, crop) for file in files])
        outputs = trained.predict(images, options.step)
        answers = [{name: x[i] for name, x in outputs.items()} for i in range(len(files))]
    for file, image, answer in zip(files, images, answers, strict=True):
        line, pictures = trained.task.explain(image, answer, info)
        for name, picture in pictures.items():
            out.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture.squeeze()).save(out / f"{file.stem}_{name}.png")
        print(f"{file}: {line}")


def _dense(run, image: np.ndarray, step: int | None) -> dict[str, np.ndarray]:
    """Outputs per pixel of an image [H, W, C]: at once where it is as large as those of the data set, else in tiles.

    A tile is as large as the network knows images to be. Half of its side is answered at a time, which divides evenly
    by what the network halves.
    """
    from training.tiling import predict_tiled

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
