"""One picture, for tasks whose result is a picture: `image:photo.jpg`, or without a download `image:flower`."""

import functools
import importlib.util
import pathlib

import numpy as np

from data.decode import Size, check_crop, picture_size, read_image, sides
from data.errors import DataError
from data.fields import Field
from data.folder import ImageFiles
from data.source import Info, normalisation
from data.splits import resolve

PHOTOS = ("china", "flower")  # in the scikit-learn package, 427×640


def image(
    argument: str,
    split: str,
    image_size: Size = None,
    crop: str = "resize",
    channels: int = 3,
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
) -> ImageFiles:
    """The split `train`, of one example: image [1, H, W, C] uint8 of the file `argument`, or of one of PHOTOS.

    image_size, crop: a side or (height, width), see data/decode.py; without a size the picture's own.
    channels: 3 (RGB) or 1 (grey).
    mean, std: over pixels in [0, 1]; where empty, those of the picture.
    """
    check_crop(crop, image_size)
    if channels not in (1, 3):
        raise DataError(f"data.channels must be 1 or 3, found {channels}")
    path = _find(argument)
    resolve(split, {"train": 1})
    read = functools.partial(read_image, channels=channels, size=image_size, crop=crop)
    mean, std = normalisation(mean, std, lambda: np.stack([read(path)]), channels)
    shape = (*(sides(image_size) or picture_size(path)), channels)
    return ImageFiles((path,), read, Info({"image": Field("image", shape, "uint8")}, mean, std))


def _find(argument: str) -> pathlib.Path:
    path = pathlib.Path(argument).expanduser()
    if not path.is_file() and argument in PHOTOS:
        (package,) = importlib.util.find_spec("sklearn").submodule_search_locations
        path = pathlib.Path(package) / "datasets" / "images" / f"{argument}.jpg"
    if not path.is_file():
        raise DataError(f"no file {argument!r}: write 'image:path/to/photo.jpg', or one of {', '.join(PHOTOS)}")
    return path
