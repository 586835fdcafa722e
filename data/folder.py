"""Images in folders, with or without classes: a sub-folder per class, or a list of files and labels."""

import dataclasses
import functools
import os
import pathlib
import warnings

import numpy as np

from data import members
from data.decode import Unreadable, picture_size
from data.errors import DataError
from data.fields import Field
from data.files import describe, stamps
from data.layout import Examples, Listing, class_folders
from data.listing import read_listing
from data.placement import sides
from data.reading import Pictures
from data.source import Info, Source, in_threads, labelled_images, normalisation
from data.splits import resolve

HINT = "; data.skip_corrupt=True leaves it out"


def folder(
    argument: str,
    split: str,
    pictures: Pictures = Pictures(),
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
    stats_images: int = 512,
    skip_corrupt: bool = False,
    split_seed: int = 0,
) -> "ImageFiles":
    """`path/class/*.png`, `path/{train,validation,test}/class/*.png`, `path/*.png`, or a list `path/labels.csv`.

    Folders: see data/layout.py. A list has the columns file, label and split, the last two where there are any; see
    data/listing.py. Without folders or a column for the splits everything is "train", to be sliced. `split_seed`
    shuffles each split once, so that its slices hold all classes.

    With fewer than two classes the data have no labels: the batch holds the image alone.

    pictures: see data/reading.py; without an image_size all images must have the same.
    mean, std: over pixels in [0, 1]; where empty, measured on `stats_images` images of the first split.
    skip_corrupt: decode every file on opening and leave out what cannot be decoded, with a warning. Otherwise such a
        file is an error once it is read.
    """
    preparation = pictures.preparation(pictures.channels, HINT)
    path = pathlib.Path(argument).expanduser()
    if not argument or not os.path.exists(path):  # of a name that is too long too, which Path.exists raises
        raise DataError(f"no folder {argument!r}: write 'folder:path/to/images' or 'folder:path/to/labels.csv'")
    examples = _listed(path) if os.path.isfile(path) else class_folders(path)
    listings, classes = examples.listings, examples.classes
    if skip_corrupt:
        listings, corrupt = _leave_out_corrupt(listings, preparation.read)
        examples.left_out.update({"corrupt": corrupt} if corrupt else {})
    sizes = {name: len(listing) for name, listing in listings.items()}

    for listing in listings.values():
        np.random.default_rng(split_seed).shuffle(listing)
    first = [file for file, _ in next(iter(listings.values()))]
    files = [file for listing in listings.values() for file, _ in listing]
    shape = (*(sides(pictures.image_size) or common_size(files, HINT)), pictures.channels)
    mean, std = normalisation(mean, std, lambda: preparation.read_all(first[:stats_images]), pictures.channels)

    chosen = [example for name, a, b in resolve(split, sizes) for example in listings[name][a:b]]
    files, names = zip(*chosen, strict=True)
    number = {name: i for i, name in enumerate(classes)}
    labels = np.array([number[name] for name in names], np.int32) if classes else None
    info = (
        labelled_images(classes, shape, mean, std)
        if classes
        else Info({"image": Field("image", shape, "uint8")}, mean, std)
    )
    source = ImageFiles(files, preparation, info, labels)
    source.description = describe(f"folder:{argument}", sizes, classes, examples.left_out, examples.ignored)
    return source


class ImageFiles(Source):
    """Files that are decoded and cropped as they are fetched; `files[id]` is the path of an example.

    preparation: how a file becomes an image. numbers: the labels [N]; None: the data have none.
    name: of the field that holds the image.
    """

    def __init__(self, files, preparation, info: Info, numbers: np.ndarray | None = None, name="image"):
        self.files, self.preparation, self.info, self.numbers, self.name = files, preparation, info, numbers, name

    def __len__(self):
        return len(self.files)

    def fetch(self, ids, keys=None):
        keys = [None] * len(ids) if keys is None else np.column_stack([keys, ids])
        images = [self.preparation.read(self.files[i], key)[0] for i, key in zip(ids, keys, strict=True)]
        return {self.name: np.stack(images)} | ({} if self.numbers is None else {"label": self.numbers[ids]})

    def resident(self):
        return None if self.preparation.random else self.read_all()

    def members(self, root):
        return members.of_files(self.files, root)

    def truth(self, ids):
        found = []
        for i in ids:
            height, width = picture_size(self.files[i])
            truth = {"size": (height, width), "matrix": self.preparation.place(width, height).matrix}
            found.append(truth if self.numbers is None else truth | {"label": int(self.numbers[i])})
        return found

    def made_from(self):
        self.preparation.check_fixed()
        return self.preparation, stamps(self.files), None if self.numbers is None else self.numbers.tolist()

    def labels(self):
        return super().labels() if self.numbers is None else self.numbers


def _listed(path: pathlib.Path) -> Examples:
    """The examples of a list; rows that repeat another one are left out."""
    listing = read_listing(path, ("file",), ("label",))
    splits = listing.by_split()
    label = listing.agreed("label") if "label" in listing.columns else {}
    examples = Examples({split: [(file, label.get(file)) for file in files] for split, files in splits.items()})
    if again := len(listing.rows) - sum(map(len, splits.values())):
        examples.left_out["listed twice"] = again
    return dataclasses.replace(examples, ignored=listing.others)


def _leave_out_corrupt(listings: dict[str, Listing], read) -> tuple[dict[str, Listing], int]:
    """(the listings without what cannot be decoded, the number of files left out)."""

    def fault(file: pathlib.Path) -> str | None:
        try:
            read(file)
        except Unreadable:
            return str(file)

    faults = {f for listing in listings.values() for f in in_threads(fault, [file for file, _ in listing]) if f}
    if faults:
        warnings.warn(f"left out {len(faults)} corrupt images, the first is {min(faults)}", stacklevel=3)
    kept = {name: [e for e in listing if str(e[0]) not in faults] for name, listing in listings.items()}
    for name, listing in kept.items():
        if not listing:
            raise DataError(f"every image of split {name!r} is corrupt, the first is {min(faults)}")
    return kept, len(faults)


def common_size(files: list[pathlib.Path], hint: str = "") -> tuple[int, int]:
    """(height, width) of all files, from their headers. Raises DataError where they differ; see `picture_size`."""
    sizes = in_threads(functools.partial(picture_size, hint=hint), files)
    for file, size in zip(files, sizes, strict=True):
        if size != sizes[0]:
            first, other = (f"{height}×{width}" for height, width in (sizes[0], size))
            raise DataError(f"{files[0]} has {first} pixels and {file} has {other}: set data.image_size")
    return sizes[0]
