"""Images with masks: two folders whose files belong together by their names."""

import pathlib
import re

import numpy as np
from PIL import Image
from scipy import ndimage

from data import members
from data.decode import CORRUPT, place, read_image
from data.errors import DataError
from data.fields import Field
from data.folder import image_files, split_folders
from data.source import Info, Source, in_threads, normalisation
from data.splits import resolve
from data.weight_map import class_weights, weight_map

Pair = tuple[pathlib.Path, pathlib.Path]  # an image and its mask
IGNORED, INVALID = -1, -2


def pairs(
    argument: str,
    split: str,
    images: str = "images",
    masks: str = "masks",
    match: str = "name",
    classes: tuple[str, ...] = (),
    void: int | None = None,
    size: tuple[int, ...] = (),
    channels: int = 3,
    border_weight: float = 0.0,
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
    stats_images: int = 512,
) -> "PairFiles":
    """A batch holds image [B, H, W, C] uint8 and masks [B, H, W] int16: the class of a pixel, −1 where it is void.

    images, masks: folders under the path, which is then the split `train`; where it has none, every sub-folder that
        has them is a split. "{split}" is replaced by the split's name, as in images="{split}", masks="{split}annot".
    match: what an image and its mask have in common: the "name" of the file up to the suffix, or the first "number" in
        it, as 21_training.jpg and 21_manual1.png. That is also their order, so that a slice is contiguous.
    classes: their names; where empty they are counted in the masks, which are all read for that.
    void: the value of pixels without a label. All others are classes, as grey values or palette indices; where
        there are two, class 1 may also be 255.
    size: (H, W) to which images are resized (antialiased bilinear), and masks (nearest); empty: all have one size.
    channels: 3 (RGB) or 1 (grey).
    border_weight: w₀ of U-Net's `weight_map` [B, H, W] float32 (see data/weight_map.py), where the cells are the
        connected parts of class 1; 0: no such map.
    mean, std: over pixels in [0, 1]; where empty, measured on `stats_images` images of the first split.

    Raises DataError: an image without a mask or the reverse, sizes that differ, a value without a class.
    """
    path = pathlib.Path(argument).expanduser()
    if not argument or not path.is_dir():
        raise DataError(f"no folder {argument!r}: write 'pairs:path' of the folder that holds {images} and {masks}")
    if match not in ("name", "number"):
        raise DataError(f"data.match={match!r} is unknown: 'name' or 'number'")
    if len(size) not in (0, 2):
        raise DataError(f"data.size={size!r}: (height, width), or nothing")
    if channels not in (1, 3):
        raise DataError(f"data.channels must be 1 or 3, found {channels}")
    try:
        folders = split_folders(path, images, masks)
    except DataError as error:
        raise DataError(f"{error}: data.images and data.masks name them") from None
    listings = {name: _pair_up(*pair, match) for name, pair in folders.items()}
    table = _class_of_value(classes, void, [mask for listing in listings.values() for _, mask in listing])
    classes = tuple(classes) or tuple(str(c) for c in range(table.max() + 1))

    first = next(iter(listings.values()))[:stats_images]
    shape = (*(size or read_image(first[0][0], channels).shape[:2]), channels)
    fields = {"image": Field("image", shape, "uint8"), "masks": Field("mask", shape[:2], "int16", classes)}
    measured = PairFiles(first, table, bool(size), 0.0, Info(fields, (), ()))
    mean, std = normalisation(mean, std, lambda: measured.read_all()["image"], channels)
    parts = resolve(split, {name: len(listing) for name, listing in listings.items()})
    chosen = [pair for name, start, stop in parts for pair in listings[name][start:stop]]
    if border_weight:
        fields["weight_map"] = Field("map", shape[:2], "float32")
    return PairFiles(chosen, table, bool(size), border_weight, Info(fields, mean, std))


class PairFiles(Source):
    """Files that are decoded as they are fetched; `pairs[id]` are the paths of an example."""

    def __init__(self, pairs: list[Pair], table: np.ndarray, resize: bool, border_weight: float, info: Info):
        self.pairs, self.table, self.resize, self.border_weight, self.info = pairs, table, resize, border_weight, info
        if border_weight:
            k = len(info.classes)
            masks = in_threads(lambda pair: read_mask(pair[1], table), pairs)
            self.balance = np.append(class_weights(sum(np.bincount(m[m >= 0], minlength=k) for m in masks)), 0.0)

    def __len__(self):
        return len(self.pairs)

    def fetch(self, ids, keys=None):
        image, masks = map(np.stack, zip(*[self._read(*self.pairs[i]) for i in ids], strict=True))
        if not self.border_weight:
            return {"image": image, "masks": masks}
        # The last entry of `balance`, at the place −1, is the weight of void.
        maps = [weight_map(ndimage.label(m == 1)[0], self.balance[m], self.border_weight) for m in masks]
        return {"image": image, "masks": masks, "weight_map": np.stack(maps)}

    def members(self, root):
        return members.of_files([image for image, _ in self.pairs], root)

    def truth(self, ids):
        found = []
        for i in ids:
            masks = read_mask(self.pairs[i][1], self.table)
            matrix = place(
                masks.shape[1], masks.shape[0], self.info.shape[:2] if self.resize else None, "resize"
            ).matrix
            found.append({"size": masks.shape, "matrix": matrix, "masks": masks})
        return found

    def _read(self, image_file: pathlib.Path, mask_file: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
        """(image [H, W, C] uint8, mask [H, W] int16)."""
        height, width, channels = self.info.shape
        image, mask = read_image(image_file, channels), read_mask(mask_file, self.table)
        if image.shape[:2] != mask.shape:
            raise DataError(f"{image_file} is {_size(image)} pixels and its mask {mask_file} is {_size(mask)}")
        if self.resize:
            placement = place(mask.shape[1], mask.shape[0], (height, width), "resize")
            image = np.asarray(placement.draw(Image.fromarray(image.squeeze()))).reshape(self.info.shape)
            mask = np.asarray(placement.draw(Image.fromarray(mask.astype(np.int32)), nearest=True)).astype(np.int16)
        if mask.shape != (height, width):
            raise DataError(f"{image_file} is {_size(image)} pixels, others are {height}×{width}: set data.size")
        return image, mask


def read_mask(file: pathlib.Path, table: np.ndarray) -> np.ndarray:
    """One mask [H, W] int16. Raises DataError that names a file which is not a mask or has a value without a class."""
    values = _values(file)
    mask = table[values]
    if (mask == INVALID).any():
        wrong = values[mask == INVALID].min()
        raise DataError(f"mask {file} holds the value {wrong}, but there are {table.max() + 1} classes")
    return mask


def _values(file: pathlib.Path) -> np.ndarray:
    """[H, W] uint8: the values in a mask."""
    try:
        with Image.open(file) as image:
            values = np.asarray(image)
    except CORRUPT as error:
        raise DataError(f"cannot read mask {file}: {error}") from error
    if values.ndim != 2 or values.max() > 255:
        raise DataError(f"mask {file} is {image.mode}: one channel with values up to 255 is needed")
    return values.astype(np.uint8)


def _class_of_value(classes: tuple[str, ...], void: int | None, masks: list[pathlib.Path]) -> np.ndarray:
    """[256] int16: the class of each value in a mask, IGNORED or INVALID."""
    k = len(classes)
    if not k:
        present = set().union(*in_threads(lambda mask: np.unique(_values(mask)).tolist(), masks)) - {void}
        k = 2 if present <= {0, 255} else max(present) + 1
        if k == 256:
            raise DataError(
                f"mask values reach up to 255: if that means no label, set data.void=255 ({masks[0].parent})"
            )
    if k < 2:
        raise DataError(f"segmentation needs two classes, found {k}")
    table = np.full(256, INVALID, np.int16)
    table[:k] = np.arange(k)
    if k == 2:
        table[255] = 1
    if void is not None:
        if not 0 <= void <= 255:
            raise DataError(f"data.void={void} is not a value of a mask: 0 to 255")
        table[void] = IGNORED
    return table


def _pair_up(images: pathlib.Path, masks: pathlib.Path, match: str) -> list[Pair]:
    """The files of two folders that belong together, in natural order of the part that their names share."""
    by_key = [_by_key(folder, match) for folder in (images, masks)]
    for these, others, folder in ((*by_key, masks), (*by_key[::-1], images)):
        for key in these.keys() - others.keys():
            raise DataError(f"{these[key]} has no counterpart of the same {match} in {folder}")
    if not by_key[0]:
        raise DataError(f"no images in {images}")
    natural = lambda key: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", key)]
    return [(by_key[0][key], by_key[1][key]) for key in sorted(by_key[0], key=natural)]


def _by_key(folder: pathlib.Path, match: str) -> dict[str, pathlib.Path]:
    files = {}
    for file in image_files(folder):
        number = re.search(r"\d+", file.stem)
        if match == "number" and not number:
            raise DataError(f"{file} has no number in its name: data.match='name'")
        key = number[0] if match == "number" else file.stem
        if key in files:
            raise DataError(f"{files[key]} and {file} have the same {match}")
        files[key] = file
    return files


def _size(pixels: np.ndarray) -> str:
    return "×".join(map(str, pixels.shape[:2]))
