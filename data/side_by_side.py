"""Pairs of images: each file holds two images side by side, as those of pix2pix do. `side_by_side:path`."""

import os
import pathlib

import numpy as np
from PIL import Image

from data import members
from data.decode import picture_size
from data.errors import DataError
from data.fields import Field
from data.files import describe, stamps
from data.layout import class_folders
from data.preparation import Preparation
from data.reading import Resized
from data.source import Info, Source, in_threads, normalisation
from data.splits import resolve

TARGET = "target"  # the field of the image that belongs to "image"


def side_by_side(
    argument: str,
    split: str,
    reverse: bool = False,
    resized: Resized = Resized(),
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
    stats_images: int = 512,
) -> "HalvedFiles":
    """image [B, H, W, C] uint8, the left half of each picture, and target [B, H, W, C] uint8, the right half.

    `path/*.jpg`, or `path/{train,val,test}/*.jpg`; see data/layout.py. Both are moved alike by augmentation.

    reverse: the right half is the image and the left one the target.
    resized: see data/reading.py; the size is that of a half. Without a size all pictures must have the same.
    mean, std: over pixels in [0, 1]; where empty, measured on both halves of `stats_images` of the first split.

    Raises DataError: a width that is odd, sizes that differ.
    """
    path = pathlib.Path(argument).expanduser()
    if not argument or not os.path.isdir(path):
        raise DataError(f"no folder {argument!r}: write 'side_by_side:path' of the folder that holds the pictures")
    if len(resized.size) not in (0, 2):
        raise DataError(f"data.size={resized.size!r}: (height, width), or nothing")
    examples = class_folders(path)
    listings = {name: [file for file, _ in listing] for name, listing in examples.listings.items()}
    first = next(iter(listings.values()))[:stats_images]
    shape = (*(resized.size or half_size(first[0])), resized.channels)
    fields = {name: Field("image", shape, "uint8") for name in ("image", TARGET)}
    preparation = resized.preparation(resized.channels)
    measured = HalvedFiles(first, reverse, preparation, Info(fields, (), ()))
    pixels = lambda: np.concatenate(list(measured.read_all().values()))
    info = Info(fields, *normalisation(mean, std, pixels, resized.channels))
    sizes = {name: len(listing) for name, listing in listings.items()}
    chosen = [file for name, start, stop in resolve(split, sizes) for file in listings[name][start:stop]]
    source = HalvedFiles(chosen, reverse, preparation, info)
    source.description = describe(f"side_by_side:{argument}", sizes, left_out=examples.left_out)
    return source


class HalvedFiles(Source):
    """Files that are decoded and halved as they are fetched; `files[id]` is the path of an example."""

    def __init__(self, files: list[pathlib.Path], reverse: bool, preparation: Preparation, info: Info):
        self.files, self.reverse, self.preparation, self.info = files, reverse, preparation, info

    def __len__(self):
        return len(self.files)

    def fetch(self, ids, keys=None):
        image, target = map(np.stack, zip(*[self._read(self.files[i]) for i in ids], strict=True))
        return {"image": image, TARGET: target}

    def members(self, root):
        return members.of_files(self.files, root)

    def made_from(self):
        return self.preparation, self.reverse, stamps(self.files)

    def truth(self, ids):
        sizes = in_threads(half_size, [self.files[i] for i in ids])
        return [{"size": size, "matrix": self.preparation.place(*size[::-1]).matrix} for size in sizes]

    def _read(self, file: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
        """(image, target), each [H, W, C] uint8."""
        halves = np.split(self._even(file), 2, axis=1)
        halves = [self._sized(half, file) for half in (halves[::-1] if self.reverse else halves)]
        return halves[0], halves[1]

    def _even(self, file: pathlib.Path) -> np.ndarray:
        half_size(file)
        return self.preparation.whole(file)

    def _sized(self, half: np.ndarray, file: pathlib.Path) -> np.ndarray:
        height, width, channels = half.shape
        placed = self.preparation.place(width, height).draw(Image.fromarray(half.squeeze()))
        found = np.asarray(placed).reshape(placed.height, placed.width, channels)
        if found.shape != self.info.shape:
            common = "×".join(map(str, self.info.shape[:2]))
            raise DataError(f"the halves of {file} are {height}×{width} pixels, others are {common}: set data.size")
        return found


def half_size(file: pathlib.Path) -> tuple[int, int]:
    """(height, width) of each half of a picture. Raises DataError where its width is odd."""
    height, width = picture_size(file)
    if width % 2:
        raise DataError(f"{file} is {height}×{width} pixels: two images side by side have an even width")
    return height, width // 2
