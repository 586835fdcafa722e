"""Which class each value or colour in a mask file is; data/preparation.py has the table of modes."""

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
LEVELS = 50  # the least difference of two levels that a lossy file shows apart

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
            middle = _halfway(values)
            hint = f"; data.threshold={middle} makes two classes of its values" if k == 2 and middle else ""
            raise DataError(f"mask {file} holds the value {wrong}, but there are {k} classes{hint}")
        both = not self.lossy and self.table[1] == self.table[255] == 1
        if both and (values == 1).any() and (values == 255).any():
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


def mask_values(found: Decoded, what: str) -> np.ndarray:
    """[H, W] of integers below VALUES: the greys, palette indices or numbers of a mask.

    what: the mask, for messages. Raises DataError where a picture does not hold one value for each pixel.
    """
    image, pixels = found.image, np.asarray(found.image)
    _check_still(found, what)
    if image.mode in ("PA", "LA", "RGBA"):
        _check_opaque(pixels[..., -1], what)
    if image.mode in ("PA", "LA"):
        pixels = pixels[..., 0]
    elif image.mode in ("RGB", "RGBX", "RGBA"):
        if (pixels[..., :3] != pixels[..., :1]).any():
            raise DataError(f"{what} has colours: data.colors is the table of them, one for each class")
        pixels = pixels[..., 0]
    elif image.mode not in ("1", "L", "P", *DEEP):
        raise DataError(f"{what} is {image.mode}: one channel, a palette or RGB is needed")
    if image.mode not in DEEP:
        return pixels.astype(np.uint8)
    if not np.isfinite(pixels).all() or (pixels % 1).any():
        raise DataError(f"{what} holds numbers that are not whole")
    if pixels.min() < 0 or pixels.max() >= VALUES:
        raise DataError(f"{what} holds values from {pixels.min():g} to {pixels.max():g}: 0 to {VALUES - 1} can be read")
    return pixels.astype(np.uint16)


def _values(file: pathlib.Path, colors: np.ndarray, lossy: bool) -> np.ndarray:
    """[H, W] of integers: the values in a mask file, or the places of its colours in `colors`."""
    found, what = _loaded(file, lossy), f"mask {file}"
    return _places(found, colors, what) if len(colors) else mask_values(found, what)


def _loaded(file: pathlib.Path, lossy: bool) -> Decoded:
    """The picture of a mask file. Raises DataError for a JPEG, unless values may be `lossy`."""
    found = load(file)
    if found.format in LOSSY and not lossy:
        middle = _halfway(np.asarray(found.image.convert("L")))
        raise DataError(
            f"mask {file} is a JPEG, which changes the values of classes: two classes are separated by"
            f" {f'data.threshold={middle}' if middle else 'data.threshold'}, the middle of their two values; more have"
            " to be saved without loss, as PNG"
        )
    return found


def _halfway(values: np.ndarray) -> int | None:
    """The middle between the darkest and the brightest value; None where they are too near to be two levels."""
    low, high = int(values.min()), int(values.max())
    return (low + high + 1) // 2 if high - low >= LEVELS else None


def _places(found: Decoded, colors: np.ndarray, what: str) -> np.ndarray:
    """[H, W]: the place in `colors` of the colour of each pixel, whatever the mode; a palette is looked up."""
    image = found.image
    _check_still(found, what)
    if image.mode in ("PA", "LA", "RGBA"):
        _check_opaque(np.asarray(image)[..., -1], what)
    elif image.mode not in ("1", "L", "P", "RGB", "RGBX"):
        raise DataError(f"{what} is {image.mode}: data.colors needs colours of 8 bits")
    red, green, blue = np.moveaxis(np.asarray(image.convert("RGB"), np.uint32), -1, 0)
    pixels = red << 16 | green << 8 | blue
    order = np.argsort(colors)
    places = order[np.searchsorted(colors, pixels, sorter=order).clip(max=len(colors) - 1)]
    if (wrong := colors[places] != pixels).any():
        y, x = np.argwhere(wrong)[0]
        color = tuple(int(c[y, x]) for c in (red, green, blue))
        raise DataError(f"{what} has the colour {color} at x={x}, y={y}, which data.colors does not list")
    return places


def _check_still(found: Decoded, what: str) -> None:
    if found.animated:
        raise DataError(f"{what} is animated: save one frame")


def _check_opaque(alpha: np.ndarray, what: str) -> None:
    if (alpha < 255).any():
        y, x = np.argwhere(alpha < 255)[0]
        raise DataError(f"{what} is transparent at x={x}, y={y}: a transparent pixel has no class")


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
    counts, palette = np.zeros(VALUES, np.int64), {}
    for mask, (histogram, colors) in zip(masks, in_threads(_used, masks), strict=True):
        counts[: len(histogram)] += histogram
        for index, color in colors.items():
            first, before = palette.setdefault(index, (mask, color))
            if before != color:
                raise DataError(
                    f"the palettes of masks differ: {index} is the colour {before} in {first} and {color} in {mask};"
                    " data.colors, a table of the classes' colours, reads them by colour"
                )
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


def _used(mask: pathlib.Path) -> tuple[np.ndarray, dict[int, tuple[int, ...]]]:
    """(how many pixels have each value of a mask, the colour of each value that a palette gives)."""
    found = _loaded(mask, False)
    counts = np.bincount(mask_values(found, f"mask {mask}").ravel())
    if found.image.mode != "P":
        return counts, {}
    palette = np.reshape(found.image.getpalette(), (-1, 3))
    return counts, {i: tuple(palette[i].tolist()) for i in np.flatnonzero(counts).tolist() if i < len(palette)}


def _smeared(counts: np.ndarray, top: int) -> bool:
    """Whether nearly all pixels lie about two levels, 0 and `top`, and more than one value about the upper."""
    near = top // 8
    upper = counts[top - near : top + 1]
    about = counts[: near + 1].sum() + upper.sum()
    return top >= LEVELS and np.count_nonzero(upper) > 1 and np.count_nonzero(counts) > 3 and about > 0.9 * counts.sum()
