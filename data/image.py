"""One picture, for tasks whose result is a picture: `image:photo.jpg`, or without a download `image:flower`."""

import importlib.util
import os
import pathlib

from data.decode import picture_size
from data.errors import DataError
from data.fields import Field
from data.folder import ImageFiles
from data.placement import sides
from data.reading import Pictures
from data.source import Info, normalisation
from data.splits import resolve

PHOTOS = ("china", "flower")  # in the scikit-learn package, 427×640


def image(
    argument: str,
    split: str,
    pictures: Pictures = Pictures(crop="resize"),
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
) -> ImageFiles:
    """The split `train`, of one example: image [1, H, W, C] uint8 of the file `argument`, or of one of PHOTOS.

    pictures: see data/reading.py.
    mean, std: over pixels in [0, 1]; where empty, those of the picture.
    """
    preparation = pictures.preparation(pictures.channels)
    path = _find(argument)
    resolve(split, {"train": 1})
    mean, std = normalisation(mean, std, lambda: preparation.read_all([path]), pictures.channels)
    shape = (*(sides(pictures.image_size) or picture_size(path)), pictures.channels)
    return ImageFiles((path,), preparation, Info({"image": Field("image", shape, "uint8")}, mean, std))


def _find(argument: str) -> pathlib.Path:
    path = pathlib.Path(argument).expanduser()
    if not os.path.isfile(path) and argument in PHOTOS:
        (package,) = importlib.util.find_spec("sklearn").submodule_search_locations
        path = pathlib.Path(package) / "datasets" / "images" / f"{argument}.jpg"
    if not os.path.isfile(path):
        raise DataError(f"no file {argument!r}: write 'image:path/to/photo.jpg', or one of {', '.join(PHOTOS)}")
    return path
