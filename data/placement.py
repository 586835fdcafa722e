"""Where a picture of any size goes on the canvas that a model takes."""

import dataclasses

import numpy as np
from PIL import Image

from data import geometry
from data.errors import DataError, unknown

CROPS = ("center", "random", "resize", "letterbox")

Size = int | tuple[int, int] | None  # of the canvas: a side, (height, width), or the picture's own


def check_crop(crop: str, image_size: Size) -> None:
    """Raises DataError unless `crop` exists and has the size that it needs; the others leave a picture without one."""
    if crop not in CROPS:
        raise unknown("data.crop", crop, CROPS)
    if crop == "random" and not image_size:
        raise DataError("data.crop='random' needs data.image_size")
    if image_size and (np.size(image_size) > 2 or np.min(image_size) < 1):
        raise DataError(f"data.image_size={image_size!r}: a side or (height, width), in pixels")


def sides(size: Size) -> tuple[int, int] | None:
    """(height, width) of a canvas; None: that of the picture."""
    return tuple(int(side) for side in np.broadcast_to(size, 2)) if size else None


@dataclasses.dataclass(frozen=True)
class Placement:
    """How a picture lies on a canvas: its rectangle `region` on the rectangle `place` of the canvas.

    Both are (left, top, right, bottom) in pixels; `place` is integral. `canvas` is (H, W).
    """

    region: tuple[float, float, float, float]
    place: tuple[int, int, int, int]
    canvas: tuple[int, int]

    @property
    def matrix(self) -> np.ndarray:
        """[2, 3], from the picture's own pixels to the canvas; see data/geometry.py."""
        return geometry.onto(self.region, self.place)

    def draw(self, image: Image.Image, nearest: bool = False, fill: int = 0) -> Image.Image:
        """The canvas: antialiased bilinear, or the nearest pixel (masks); `fill` beside the picture."""
        left, top, right, bottom = self.place
        how = Image.Resampling.NEAREST if nearest else Image.Resampling.BILINEAR
        shape, whole = (right - left, bottom - top), (0, 0, image.width, image.height)
        if shape != image.size or self.region != whole:
            image = image.resize(shape, how, self.region)
        height, width = self.canvas
        if shape == (width, height):
            return image
        canvas = Image.new(image.mode, (width, height), fill)
        canvas.paste(image, (left, top))
        return canvas

    def draw_mask(self, mask: np.ndarray) -> np.ndarray:
        """[H, W] int16 of a mask of classes [h, w]: the nearest pixels; −1 beside the picture."""
        return np.asarray(self.draw(Image.fromarray(mask.astype(np.int32)), nearest=True, fill=-1)).astype(np.int16)


def place(width: int, height: int, size: Size, crop: str, key: np.ndarray | None = None) -> Placement:
    """Where a picture of `width` × `height` goes; unchanged where `size` is None.

    "center": the shorter side (relative to the canvas) becomes 256/224 of the canvas's, then the centre is cut out.
    "resize": the whole picture, its aspect ratio given up.
    "letterbox": the whole picture with its aspect ratio kept, in the centre, black (ignored in masks) beside it.
    "random": with a key the random-resized crop drawn from it; without a key (evaluation) that of "center".
    """
    whole = (0, 0, width, height)
    canvas = sides(size)
    if canvas is None:
        return Placement(whole, whole, (height, width))
    full = (0, 0, canvas[1], canvas[0])
    aspect = canvas[1] / canvas[0]
    if crop == "resize":
        return Placement(whole, full, canvas)
    if crop == "letterbox":
        scale = min(canvas[0] / height, canvas[1] / width)
        new_width, new_height = max(round(width * scale), 1), max(round(height * scale), 1)
        left, top = (canvas[1] - new_width) // 2, (canvas[0] - new_height) // 2
        return Placement(whole, (left, top, left + new_width, top + new_height), canvas)
    if crop == "random" and key is not None:
        return Placement(random_box(width, height, np.random.default_rng(key), aspect), full, canvas)
    return Placement(center_box(width, height, aspect), full, canvas)


def center_box(width: int, height: int, aspect: float = 1.0) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of the centre: 224/256 of the largest rectangle of `aspect` = width / height."""
    side = min(width / aspect, height) * 224 / 256
    left, top = (width - side * aspect) / 2, (height - side) / 2
    return left, top, left + side * aspect, top + side


def random_box(width: int, height: int, rng: np.random.Generator, aspect: float = 1.0) -> tuple[int, int, int, int]:
    """The random-resized crop of Szegedy et al. 2015, section 6: 8 to 100 % of the area, 3/4 to 4/3 of `aspect`."""
    for _ in range(10):
        area = width * height * rng.uniform(0.08, 1.0)
        drawn = aspect * np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        w, h = round(np.sqrt(area * drawn)), round(np.sqrt(area / drawn))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
            return left, top, left + w, top + h
    # No crop fits a very long image: its largest rectangle of the aspect, in the centre.
    w, h = max(int(min(width, height * aspect)), 1), max(int(min(height, width / aspect)), 1)
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h
