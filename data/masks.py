"""Which class each value or colour in a mask file is; data/decode.py has the table of modes."""

import dataclasses
import pathlib
import warnings
from collections.abc import Sequence

import numpy as np
from PIL import ImageColor

from data.decode import DEEP, Decoded, load
from data.errors import DataError
from data.source import in_threads

IGNORED, INVALID = -1, -2
VALUES = 2**16  # of a mask
LARGEST = 2**15 - 1  # class in a batch, which is int16
LOSSY = ("JPEG", "MPO")

Color = str | Sequence[int]  # "#ff0000", "red" or (255, 0, 0)


@dataclasses.dataclass(frozen=True)
class Legend:
    """How mask files become classes.

    Attributes:
      table: [VALUES] int16, the class of each value, IGNORED or INVALID.
      colors: [n] uint32, the colour 0xRRGGBB of each value; empty: masks hold the values themselves.
      classes: their names.
      lossy: whether values may be off by a little, because a threshold separates them.
    """

    table: np.ndarray
    colors: np.ndarray
    classes: tuple[str, ...]
    lossy: bool = False

    def read(self, file: pathlib.Path) -> np.ndarray:
        """[H, W] int16: a class for each pixel, or IGNORED. Raises DataError for what is not a mask or has no class."""
        values = _values(file, self.colors, self.lossy)
        mask = self.table[values]
        if (mask == INVALID).any():
            wrong, k = values[mask == INVALID].min(), len(self.classes)
            hint = "; data.threshold=128 makes two classes of any values" if k == 2 else ""
            raise DataError(f"mask {file} holds the value {wrong}, but there are {k} classes{hint}")
        if self.table[1] == self.table[255] == 1 and not self.lossy and {1, 255} <= set(np.unique(values)):
            raise DataError(f"mask {file} holds 1 and 255: if 255 means no label, set data.void=255")
        return mask


def legend(
    classes: Sequence[str],
    colors: Sequence[Color],
    threshold: int | None,
    void: int | None,
    masks: Sequence[pathlib.Path],
) -> Legend:
    """The legend that a page's options state; where they do not, that of the values in `masks`, which are all read.

    classes: their names; or empty. The other options are those of `data.pairs`.
    """
    if void is not None and not 0 <= void < VALUES:
        raise DataError(f"data.void={void} is not a value of a mask: 0 to {VALUES - 1}")
    packed = _packed(colors)
    table, k = np.full(VALUES, INVALID, np.int16), len(classes)
    if threshold is not None:
        if not 0 < threshold < VALUES or len(colors) or k not in (0, 2):
            raise DataError(f"data.threshold={threshold} makes two classes of grey values: class 1 is from it on")
        table[:], k = np.arange(VALUES) >= threshold, 2
    else:
        white = 255
        if not k and colors:
            k = len(colors) - (void == len(colors) - 1)
        if not k:
            k, white = _counted(masks, void)
        if k > LARGEST + 1:
            raise DataError(f"{k} classes: masks may have {LARGEST + 1}")
        table[:k] = np.arange(k)
        if k == 2 and not colors:
            table[white] = 1
    if k < 2:
        raise DataError(f"segmentation needs two classes, found {k}")
    if void is not None:
        table[void] = IGNORED
    return Legend(table, packed, tuple(classes) or tuple(map(str, range(k))), threshold is not None)


def mask_values(found: Decoded) -> np.ndarray:
    """[H, W] int64: the values of a mask: greys, palette indices, or whole numbers of 16 or 32 bits.

    Raises ValueError that says why a picture does not hold one value for each pixel.
    """
    image = found.image
    if found.animated:
        raise ValueError("is animated: save one frame")
    pixels = np.asarray(image)
    if image.mode in ("PA", "LA", "RGBA"):
        _check_opaque(pixels[..., -1])
        pixels = pixels[..., 0] if image.mode != "RGBA" else pixels[..., :3]
    if image.mode in ("RGB", "RGBX", "RGBA"):
        if (pixels[..., :3] != pixels[..., :1]).any():
            raise ValueError("has colours: data.colors is the table of them, one for each class")
        pixels = pixels[..., 0]
    elif image.mode not in ("1", "L", "P", "PA", "LA", *DEEP):
        raise ValueError(f"is {image.mode}: one channel, a palette or RGB is needed")
    values = pixels.astype(np.int64)
    if image.mode == "F" and (values != pixels).any():
        raise ValueError("holds numbers that are not whole")
    if values.min() < 0 or values.max() >= VALUES:
        raise ValueError(f"holds values from {values.min()} to {values.max()}: 0 to {VALUES - 1} can be read")
    return values


def _values(file: pathlib.Path, colors: np.ndarray, lossy: bool) -> np.ndarray:
    """[H, W] int64: the values in a mask file, or the places of its colours in `colors`."""
    found = load(file)
    if found.format in LOSSY and not lossy:
        raise DataError(
            f"mask {file} is a JPEG, which changes the values of classes: for two classes data.threshold=128 separates"
            " them, more have to be saved without loss, as PNG"
        )
    try:
        return mask_values(found) if not len(colors) else _places(found, colors)
    except ValueError as error:
        raise DataError(f"mask {file} {error}") from None


def _places(found: Decoded, colors: np.ndarray) -> np.ndarray:
    """The place in `colors` of the colour of each pixel, whatever the mode: a palette is looked up."""
    if found.animated:
        raise ValueError("is animated: save one frame")
    image = found.image
    if image.mode in ("PA", "LA", "RGBA"):
        _check_opaque(np.asarray(image)[..., -1])
    elif image.mode not in ("1", "L", "P", "RGB", "RGBX"):
        raise ValueError(f"is {image.mode}: data.colors needs colours of 8 bits")
    red, green, blue = np.moveaxis(np.asarray(image.convert("RGB"), np.uint32), -1, 0)
    pixels = red << 16 | green << 8 | blue
    order = np.argsort(colors)
    places = order[np.searchsorted(colors, pixels, sorter=order).clip(max=len(colors) - 1)]
    if (wrong := colors[places] != pixels).any():
        y, x = np.argwhere(wrong)[0]
        color = tuple(int(c[y, x]) for c in (red, green, blue))
        raise ValueError(f"has the colour {color} at x={x}, y={y}, which data.colors does not list")
    return places


def _check_opaque(alpha: np.ndarray) -> None:
    if (alpha < 255).any():
        y, x = np.argwhere(alpha < 255)[0]
        raise ValueError(f"is transparent at x={x}, y={y}: what is there has no class")


def _packed(colors: Sequence[Color]) -> np.ndarray:
    found = []
    for color in colors:
        try:
            red, green, blue = ImageColor.getrgb(color)[:3] if isinstance(color, str) else map(int, color)
            if not all(0 <= x <= 255 for x in (red, green, blue)):
                raise ValueError
        except (TypeError, ValueError):
            raise DataError(f"data.colors: {color!r} is not a colour like (255, 0, 0) or '#ff0000'") from None
        found.append(red << 16 | green << 8 | blue)
    if len(set(found)) < len(found):
        twice = next(color for i, color in enumerate(colors) if found[i] in found[:i])
        raise DataError(f"data.colors has {twice!r} twice")
    return np.array(found, np.uint32)


def _counted(masks: Sequence[pathlib.Path], void: int | None) -> tuple[int, int]:
    """(number of classes, the value that is also class 1 where there are two), from the values of all masks."""
    none = np.zeros(0, np.uint32)
    histograms = in_threads(lambda mask: np.bincount(_values(mask, none, False).ravel(), minlength=256), masks)
    counts = np.zeros(max(map(len, histograms)), np.int64)
    for histogram in histograms:
        counts[: len(histogram)] += histogram
    if void is not None:
        counts[void : void + 1] = 0
    present, folder = np.flatnonzero(counts), masks[0].parent
    top = int(present.max(initial=0))
    if set(present) <= {0, top} and top > 1:
        if top != 255:
            warnings.warn(f"the masks in {folder} hold 0 and {top} alone: {top} is class 1", stacklevel=4)
        return 2, top
    if _smeared(counts, top):
        raise DataError(
            f"the masks in {folder} hold {len(present)} values about 0 and {top}, as a JPEG or a resized picture does:"
            f" data.threshold={(top + 1) // 2} makes two classes of them; if they are {top + 1} classes, name them in"
            " data.classes"
        )
    if top in (255, VALUES - 1):
        raise DataError(
            f"mask values reach up to {top}: if that means no label, set data.void={top} ({folder}); if it is a class,"
            " name all in data.classes"
        )
    return top + 1, 255


def _smeared(counts: np.ndarray, top: int) -> bool:
    """Whether nearly all pixels lie about two levels, 0 and `top`, and more than one value about the upper."""
    near = top // 8
    upper = counts[top - near : top + 1]
    about = counts[: near + 1].sum() + upper.sum()
    return top >= 50 and np.count_nonzero(upper) > 1 and np.count_nonzero(counts) > 3 and about > 0.9 * counts.sum()
