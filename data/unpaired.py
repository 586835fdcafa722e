"""Two folders of images that do not belong together one by one: `unpaired:path`, for translation between them."""

import os
import pathlib

from data.errors import DataError
from data.fields import Field
from data.files import PictureFiles, describe, left_in
from data.folder import ImageFiles, common_size
from data.layout import image_files, split_folders
from data.placement import sides
from data.reading import Pictures
from data.source import Info, normalisation
from data.splits import resolve

OTHER = "other"  # the field of the second folder, and its group


def unpaired(
    argument: str,
    split: str,
    a: str = "A",
    b: str = "B",
    pictures: Pictures = Pictures(),
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
    stats_images: int = 512,
) -> ImageFiles:
    """image [B, H, W, C] uint8 of the first folder and other [B, H, W, C] uint8 of the second.

    Train with `data.sampler="unpaired"`, which shuffles each folder by itself. Their numbers of images may differ: the
    length of the source is that of the first folder.

    a, b: the folders under the path, which is then the split `train`; where it has none, every sub-folder that has
        them is a split. "{split}" is replaced by the split's name, as in a="{split}A", b="{split}B".
    pictures: see data/reading.py; without an image_size all images must have the same.
    mean, std: over pixels in [0, 1]; where empty, measured on `stats_images` images of each folder of the first split.
    """
    preparation = pictures.preparation(pictures.channels)
    path = pathlib.Path(argument).expanduser()
    if not argument or not os.path.isdir(path):
        raise DataError(f"no folder {argument!r}: write 'unpaired:path' of the folder that holds {a} and {b}")
    try:
        folders = split_folders(path, a, b)
    except DataError as error:
        raise DataError(f"{error}: data.a and data.b name them") from None
    found = PictureFiles(), PictureFiles()
    files = {name: tuple(map(image_files, pair, found)) for name, pair in folders.items()}
    for one in found:
        one.check_doubles(lambda file: file.parent)
    every = [file for pair in files.values() for one in pair for file in one]
    shape = (*(sides(pictures.image_size) or common_size(every)), pictures.channels)
    first = [file for one in next(iter(files.values())) for file in one[:stats_images]]
    mean, std = normalisation(mean, std, lambda: preparation.read_all(first), pictures.channels)

    fields = {
        "image": Field("image", shape, "uint8"),
        OTHER: Field("image", shape, "uint8", group=OTHER),
    }
    chosen = []
    for side in (0, 1):
        parts = resolve(split, {name: len(pair[side]) for name, pair in files.items()})
        chosen.append([file for name, start, stop in parts for file in files[name][side][start:stop]])
    source = ImageFiles(chosen[0], preparation, Info(fields, mean, std))
    source.groups = {OTHER: ImageFiles(chosen[1], preparation, Info({OTHER: fields[OTHER]}, mean, std), name=OTHER)}
    of_folder = zip(folders.values(), files.values(), strict=True)
    sizes = {
        str(folder.relative_to(path)): len(one)
        for pair, own in of_folder
        for folder, one in zip(pair, own, strict=True)
    }
    source.description = describe(f"unpaired:{argument}", sizes, left_out=left_in(path, every))
    return source
