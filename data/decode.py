"""From an encoded image of any size to the pixels that a model takes; on the host, since sizes differ."""

import numpy as np
from PIL import Image

from data.errors import DataError, unknown

CROPS = ("center", "random", "resize")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
CORRUPT = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)  # what PIL raises


def check_crop(crop: str, image_size: int | None):
    """Raises DataError unless `crop` exists and has the size it needs."""
    if crop not in CROPS:
        raise unknown("data.crop", crop, CROPS)
    if crop == "random" and image_size is None:
        raise DataError("data.crop='random' needs data.image_size")


def decode(file, channels: int, size: int | None, crop: str, key: np.ndarray | None = None) -> np.ndarray:
    """The image in `file` (a path or a binary file) as [H, W, C] uint8. Raises CORRUPT."""
    with Image.open(file) as image:
        if image.mode.startswith("I;16"):  # PIL would clip 16 bits to white
            image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
        image = fit(image.convert(MODES[channels]), size, crop, key)
        return np.asarray(image).reshape(image.height, image.width, channels)


def read_image(
    file, channels: int, size: int | None = None, crop: str = "center", key: np.ndarray | None = None, hint: str = ""
) -> np.ndarray:
    """`decode`, but raises DataError that names a file which cannot be decoded; its message ends in `hint`."""
    try:
        return decode(file, channels, size, crop, key)
    except CORRUPT as error:
        raise DataError(f"cannot read image {file}: {error}{hint}") from error


def fit(image: Image.Image, size: int | None, crop: str, key: np.ndarray | None) -> Image.Image:
    """`image` as `size` x `size` pixels, antialiased bilinear; unchanged where `size` is None.

    "center": the shorter side becomes size · 256/224, then its central square (as is customary).
    "resize": the whole image, its aspect ratio given up.
    "random": with a key the random-resized crop drawn from it, without (evaluation) the central one.
    """
    if size is None:
        return image
    if crop == "resize":
        box = None
    elif crop == "random" and key is not None:
        box = random_box(image.width, image.height, np.random.default_rng(key))
    else:
        box = center_box(image.width, image.height)
    return image.resize((size, size), Image.Resampling.BILINEAR, box)


def center_box(width: int, height: int) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of the central square, 224/256 of the shorter side."""
    side = min(width, height) * 224 / 256
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def random_box(width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """The random-resized crop of Szegedy et al. 2015, section 6: 8 to 100 % of the area, aspect 3/4 to 4/3."""
    for _ in range(10):
        area = width * height * rng.uniform(0.08, 1.0)
        aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        w, h = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
            return left, top, left + w, top + h
    # No crop fits a very long image: its central square.
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side
