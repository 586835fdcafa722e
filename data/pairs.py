"""Images with masks: two folders whose files belong together by their names."""

import os
import pathlib

import numpy as np
from scipy import ndimage

from data import members
from data.decode import picture_size
from data.errors import DataError
from data.fields import Field
from data.files import PictureFiles, describe, left_in, stamps
from data.layout import image_files, split_folders
from data.masks import Color, Legend, legend
from data.matching import Pair, pair_up
from data.preparation import Preparation
from data.reading import Resized
from data.source import Info, Source, in_threads, normalisation
from data.splits import resolve
from data.weight_map import class_weights, weight_map


def pairs(
    argument: str,
    split: str,
    images: str = "images",
    masks: str = "masks",
    match: str = "name",
    classes: tuple[str, ...] = (),
    colors: tuple[Color, ...] = (),
    threshold: int | None = None,
    void: int | None = None,
    resized: Resized = Resized(),
    border_weight: float = 0.0,
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
    stats_images: int = 512,
) -> "PairFiles":
    """A batch holds image [B, H, W, C] uint8 and masks [B, H, W] int16: the class of a pixel, −1 where it is void.

    images, masks: folders under the path, which is then the split `train`; where it has none, every sub-folder that
        has them is a split. "{split}" is replaced by the split's name, as in images="{split}", masks="{split}annot".
        Both may be one folder.
    match: what an image and its mask have in common: the "name" of the file up to the suffix, or the first "number" in
        it, as 21_training.jpg and 21_manual1.png; or the pattern of a mask's name, as "{name}_mask" for x.jpg and
        x_mask.gif. What they share is also their order, so that a slice is contiguous.
    classes: their names; where empty they are counted in the masks, which are all read for that. Masks that hold 0 and
        one other value are two classes then.
    colors: the colour of each class, (255, 0, 0) or "#ff0000", where masks show classes by colours; palettes too are
        then read by colour. Empty: values are classes, grey values or palette indices of up to 16 bits; where there are
        two classes, class 1 may also be 255.
    threshold: two classes, whose class 1 is every value from this on: for masks of two levels that were saved as JPEG
        or resized.
    void: the value of pixels without a label, or their place in `colors`.
    resized: see data/reading.py; masks are resized by the nearest pixel. Without a size all images must have the same.
    border_weight: w₀ of U-Net's `weight_map` [B, H, W] float32 (see data/weight_map.py), where the cells are the
        connected parts of class 1; 0: no such map.
    mean, std: over pixels in [0, 1]; where empty, measured on `stats_images` images of the first split.

    Raises DataError: an image without a mask or the reverse, sizes that differ, a value without a class.
    """
    path = pathlib.Path(argument).expanduser()
    if not argument or not os.path.isdir(path):
        raise DataError(f"no folder {argument!r}: write 'pairs:path' of the folder that holds {images} and {masks}")
    if len(resized.size) not in (0, 2):
        raise DataError(f"data.size={resized.size!r}: (height, width), or nothing")
    channels, preparation = resized.channels, resized.preparation(resized.channels)
    try:
        folders = split_folders(path, images, masks)
    except DataError as error:
        raise DataError(f"{error}: data.images and data.masks name them") from None
    found = PictureFiles(), PictureFiles()
    listings = {name: pair_up(*map(image_files, pair, found), match) for name, pair in folders.items()}
    for one in found:
        one.check_doubles(lambda file: file.parent)
    key = legend(classes, colors, threshold, void, [mask for listing in listings.values() for _, mask in listing])

    first = next(iter(listings.values()))[:stats_images]
    shape = (*(resized.size or picture_size(first[0][0])), channels)
    fields = {"image": Field("image", shape, "uint8"), "masks": Field("mask", shape[:2], "int16", key.classes)}
    measured = PairFiles(first, key, preparation, 0.0, Info(fields, (), ()))
    mean, std = normalisation(mean, std, lambda: measured.read_all()["image"], channels)
    sizes = {name: len(listing) for name, listing in listings.items()}
    parts = resolve(split, sizes)
    chosen = [pair for name, start, stop in parts for pair in listings[name][start:stop]]
    if border_weight:
        fields["weight_map"] = Field("map", shape[:2], "float32")
    source = PairFiles(chosen, key, preparation, border_weight, Info(fields, mean, std))
    used = [file for listing in listings.values() for pair in listing for file in pair]
    source.description = describe(f"pairs:{argument}", sizes, source.info.classes, left_in(path, used))
    return source


class PairFiles(Source):
    """Files that are decoded as they are fetched; `pairs[id]` are the paths of an example."""

    def __init__(self, pairs: list[Pair], legend: Legend, preparation: Preparation, border_weight: float, info: Info):
        self.pairs, self.legend, self.preparation = pairs, legend, preparation
        self.border_weight, self.info = border_weight, info
        if border_weight:
            k = len(info.classes)
            masks = in_threads(lambda pair: legend.read(pair[1]), pairs)
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

    def made_from(self):
        return self.preparation, self.legend, self.border_weight, [stamps(pair) for pair in self.pairs]

    def truth(self, ids):
        found = []
        for i in ids:
            masks = self.legend.read(self.pairs[i][1])
            matrix = self.preparation.place(*masks.shape[::-1]).matrix
            found.append({"size": masks.shape, "matrix": matrix, "masks": masks})
        return found

    def _read(self, image_file: pathlib.Path, mask_file: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
        """(image [H, W, C] uint8, mask [H, W] int16)."""
        (image, placement), mask = self.preparation.read(image_file), self.legend.read(mask_file)
        *_, width, height = placement.region
        if mask.shape != (height, width):
            turned = picture_size(image_file, upright=False) == mask.shape
            hint = ": the image lies on its side by its EXIF orientation, the mask does not" if turned else ""
            raise DataError(
                f"{image_file} is {height}×{width} pixels and its mask {mask_file} is {_size(mask.shape)}{hint}"
            )
        if image.shape != self.info.shape:
            common = _size(self.info.shape[:2])
            raise DataError(f"{image_file} is {height}×{width} pixels, others are {common}: set data.size")
        return image, placement.draw_mask(mask)


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
