"""Images in folders: a sub-folder per class, or a CSV file that lists file and label."""

import csv
import functools
import pathlib
import re
import warnings

import numpy as np

from data import members
from data.decode import Unreadable, picture_size
from data.errors import DataError
from data.placement import sides
from data.reading import Pictures
from data.source import Info, Source, in_threads, labelled_images, normalisation
from data.splits import resolve

SPLITS = ("train", "validation", "val", "test")
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
HINT = "; data.skip_corrupt=True leaves it out"

Listing = list[tuple[pathlib.Path, str]]  # (file, class name) of every example of a split


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
    """`path/class/*.png`, `path/{train,validation,val,test}/class/*.png`, or `path/labels.csv`.

    The CSV has the columns file (relative to it) and label. Without folders that are splits, everything is the
    split `train`, to be sliced. `split_seed` shuffles each split once, so that its slices hold all classes.

    pictures: see data/reading.py; without an image_size all images must have the same.
    mean, std: over pixels in [0, 1]; where empty, measured on `stats_images` images of the first split.
    skip_corrupt: decode every file on opening and leave out what cannot be decoded, with a warning. Otherwise such a
        file is an error once it is read.
    """
    preparation = pictures.preparation(pictures.channels, HINT)
    path = pathlib.Path(argument).expanduser()
    if not argument or not path.exists():
        raise DataError(f"no folder {argument!r}: write 'folder:path/to/images' or 'folder:path/to/labels.csv'")
    listings = _read_csv(path) if path.is_file() else _read_folders(path)
    if skip_corrupt:
        listings = _leave_out_corrupt(listings, preparation.read)

    classes = tuple(sorted({label for listing in listings.values() for _, label in listing}))
    if len(classes) < 2:
        raise DataError(f"{path} has the one class {classes[0]!r}, it needs a sub-folder for each")
    for listing in listings.values():
        np.random.default_rng(split_seed).shuffle(listing)
    first = [file for file, _ in next(iter(listings.values()))]
    files = [file for listing in listings.values() for file, _ in listing]
    shape = (*(sides(pictures.image_size) or common_size(files, HINT)), pictures.channels)
    mean, std = normalisation(mean, std, lambda: preparation.read_all(first[:stats_images]), pictures.channels)

    parts = resolve(split, {name: len(listing) for name, listing in listings.items()})
    files, names = zip(*[example for name, a, b in parts for example in listings[name][a:b]], strict=True)
    number = {name: i for i, name in enumerate(classes)}
    labels = np.array([number[name] for name in names], np.int32)
    return ImageFiles(files, preparation, labelled_images(classes, shape, mean, std), labels)


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

    def labels(self):
        return super().labels() if self.numbers is None else self.numbers


def _read_folders(path: pathlib.Path) -> dict[str, Listing]:
    splits = [name for name in SPLITS if (path / name).is_dir()]
    roots = {name: path / name for name in splits} or {"train": path}
    listings = {}
    for split, root in roots.items():
        classes = sorted(child for child in root.iterdir() if child.is_dir() and child.name[0] != ".")
        listings[split] = [
            (file, child.name)
            for child in classes
            for file in sorted(child.rglob("*"))
            if file.suffix.lower() in SUFFIXES
        ]
        if not listings[split]:
            raise DataError(f"no images under {root}: they lie in a sub-folder per class")
    return listings


def _read_csv(path: pathlib.Path) -> dict[str, Listing]:
    with path.open(newline="", encoding="utf-8-sig") as lines:
        rows = csv.DictReader(lines)
        if not {"file", "label"} <= set(rows.fieldnames or ()):
            raise DataError(f"{path} needs the columns file and label, found {rows.fieldnames}")
        listing = [(path.parent / row["file"], row["label"]) for row in rows]
    if not listing:
        raise DataError(f"{path} lists no images")
    for line, (file, label) in enumerate(listing, start=2):
        if not file.is_file() or not label:
            raise DataError(f"{path} line {line}: " + ("no label" if file.is_file() else f"no file {file}"))
    return {"train": listing}


def _leave_out_corrupt(listings: dict[str, Listing], read) -> dict[str, Listing]:
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
    return kept


def common_size(files: list[pathlib.Path], hint: str = "") -> tuple[int, int]:
    """(height, width) of all files, from their headers. Raises DataError where they differ; see `picture_size`."""
    sizes = in_threads(functools.partial(picture_size, hint=hint), files)
    for file, size in zip(files, sizes, strict=True):
        if size != sizes[0]:
            first, other = (f"{height}×{width}" for height, width in (sizes[0], size))
            raise DataError(f"{files[0]} has {first} pixels and {file} has {other}: set data.image_size")
    return sizes[0]


def split_folders(path: pathlib.Path, first: str, second: str) -> dict[str, tuple[pathlib.Path, pathlib.Path]]:
    """split -> its two folders, called `first` and `second`; the training split comes first.

    They lie under `path`, which is then the split `train`; otherwise every sub-folder that has both is a split.
    "{split}" is replaced by the name of the split. Raises DataError where there are none.
    """
    if "{split}" not in first + second:
        if (path / first).is_dir() and (path / second).is_dir():
            return {"train": (path / first, path / second)}
        first, second = f"{{split}}/{first}", f"{{split}}/{second}"
    form = re.compile(re.escape(first).replace(re.escape("{split}"), "([^/]+)"))
    found = [form.fullmatch(folder.relative_to(path).as_posix()) for folder in path.glob(first.replace("{split}", "*"))]
    names = sorted({match[1] for match in found if match}, key=lambda name: (not name.startswith("train"), name))
    folders = {name: (path / first.format(split=name), path / second.format(split=name)) for name in names}
    folders = {name: pair for name, pair in folders.items() if all(folder.is_dir() for folder in pair)}
    if not folders:
        raise DataError(f"{path} has no folders {first} and {second}")
    return folders


def image_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """The images directly in `folder`, by name."""
    return [file for file in sorted(folder.iterdir()) if file.suffix.lower() in SUFFIXES and file.name[0] != "."]
