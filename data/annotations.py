"""Images with boxes or captions, from a list with a row for each box or for each caption (data/listing.py)."""

import dataclasses
import os
import pathlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from data import geometry, members
from data.decode import picture_size
from data.errors import DataError
from data.fields import Field
from data.files import LeftOut, describe, stamps
from data.folder import common_size
from data.listing import Listing, Row, read_listing
from data.placement import sides
from data.preparation import Preparation
from data.reading import Pictures
from data.source import Info, Source, normalisation
from data.splits import resolve
from data.text import encode_any, learned, words_of

CORNERS = ("x1", "y1", "x2", "y2")


def boxes(
    argument: str,
    split: str,
    pictures: Pictures = Pictures(crop="letterbox"),
    max_objects: int = 50,
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
    stats_images: int = 512,
    split_seed: int = 0,
) -> "ListedImages":
    """A list with the columns file, x1, y1, x2, y2 and label: the corners of a box in pixels of its picture.

    See data/listing.py; a column `split` has the splits, without it everything is "train". `split_seed` shuffles each
    split once. A row with a file alone is a picture without objects; a row that repeats another one is left out. A
    batch holds image [B, H, W, C] uint8, boxes [B, max_objects, 4] float32 in
    pixels of the canvas and labels [B, max_objects] int32, −1 where there is no box.

    pictures: see data/reading.py; without an image_size all images must have the same.

    Raises DataError, with the line: a file that does not exist, corners that are not numbers, a box that is empty or
    leaves its picture; more than `max_objects` boxes on one picture.
    """
    listing = _listing(argument, "boxes", ("file", *CORNERS, "label"))
    objects, left_out = _boxes_of(listing)
    classes = tuple(sorted({label for found in objects.values() for _, label in found}))
    if not classes:
        raise DataError(f"{listing.path} lists no box")
    objects = {
        file: Objects(np.array([box for box, _ in found]), np.array([classes.index(label) for _, label in found]))
        for file, found in objects.items()
    }
    source = boxed(
        listing.by_split(), objects, classes, split, pictures, max_objects, mean, std, stats_images, split_seed
    )
    sizes = {name: len(files) for name, files in listing.by_split().items()}
    source.description = describe(f"boxes:{argument}", sizes, classes, left_out, listing.others)
    return source


@dataclasses.dataclass(frozen=True)
class Objects:
    """The objects of one picture.

    Attributes:
      boxes: (x1, y1, x2, y2) in pixels of the picture [n, 4].
      labels: [n] int.
      more: name -> [n]: what else evaluation takes, such as "crowd" (regions that are neither right nor wrong to find,
        and that training does not see) and "area" in square pixels.
    """

    boxes: np.ndarray
    labels: np.ndarray
    more: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)


def boxed(
    splits: Mapping[str, list[pathlib.Path]],
    objects: Mapping[pathlib.Path, Objects],
    classes: tuple[str, ...],
    split: str,
    pictures: Pictures,
    max_objects: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    stats_images: int,
    split_seed: int,
) -> "ListedImages":
    """The source of pictures with boxes, see `boxes`.

    Args:
      splits: split -> its pictures.
      objects: of each picture.

    Raises DataError for more than `max_objects` boxes on one picture.
    """
    for file, found in objects.items():
        if len(found.boxes) > max_objects:
            raise DataError(f"{file} has {len(found.boxes)} boxes: data.max_objects={max_objects} is less")

    def encode(file, matrix, shape, rng):
        found, labels, own = np.zeros((max_objects, 4), np.float32), np.full(max_objects, -1, np.int32), objects[file]
        if len(own.boxes):
            corners = geometry.clip_boxes(geometry.move_boxes(matrix, own.boxes), *shape)
            seen = (corners[:, 2:] > corners[:, :2]).all(1) & ~own.more.get("crowd", np.zeros(len(corners), bool))
            found[: seen.sum()], labels[: seen.sum()] = corners[seen], own.labels[seen]
        return {"boxes": found, "labels": labels}

    def truth(file):
        own = objects[file]
        corners = np.asarray(own.boxes, np.float64).reshape(-1, 4)
        return {"boxes": corners, "labels": np.asarray(own.labels, np.int32), **own.more}

    fields = {
        "boxes": Field("boxes", (max_objects, 4), "float32"),
        "labels": Field("labels", (max_objects,), "int32", classes, of="boxes"),
    }
    listed = _Listed(splits, fields, encode, truth, varies=False)
    return _opened(listed, split, pictures, mean, std, stats_images, split_seed)


def captions(
    argument: str,
    split: str,
    pictures: Pictures = Pictures(),
    length: int = 32,
    min_count: int = 1,
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
    stats_images: int = 512,
    split_seed: int = 0,
) -> "ListedImages":
    """A list with the columns file and caption, a row for each caption; a picture may have several.

    See data/listing.py; a column `split` has the splits, without it everything is "train". `split_seed` shuffles each
    split once. The vocabulary is that of all captions, of "train" where there are splits.

    A batch holds image [B, H, W, C] uint8 and tokens [B, length] int32. In training each use of a picture draws one of
    its captions, in evaluation the first is taken; `truth` has all of them.

    pictures: see data/reading.py; without an image_size all images must have the same.
    length: tokens, with <start> and <end>; longer captions are cut off.
    min_count: words that are rarer in the file become <unknown>.

    Words are runs of letters, digits and apostrophes, in lower case. Raises DataError, with the line: a file that does
    not exist, a row without a caption.
    """
    listing = _listing(argument, "captions", ("file", "caption"))
    texts: dict[pathlib.Path, list[str]] = {}
    for row in listing.rows:
        text = words_of(row.values["caption"])
        if not text:
            raise DataError(f"{listing.path} line {row.line}: no caption")
        texts.setdefault(row.file, []).append(text)
    splits = listing.by_split()
    taught = splits.get("train", texts)
    vocabulary = learned((text for file in taught for text in texts[file]), min_count)

    def encode(file, matrix, shape, rng):
        text = texts[file][rng.integers(len(texts[file])) if rng else 0]
        return {"tokens": encode_any(vocabulary, text, length)}

    fields = {"tokens": Field("tokens", (length,), "int32", vocabulary.words)}
    several = any(len(found) > 1 for found in texts.values())
    listed = _Listed(splits, fields, encode, lambda file: {"captions": texts[file]}, several)
    source = _opened(listed, split, pictures, mean, std, stats_images, split_seed)
    source.description = describe(f"captions:{argument}", listed.sizes, columns=listing.others)
    return source


@dataclasses.dataclass(frozen=True)
class _Listed:
    """What a list has about its pictures.

    Attributes:
      splits: split -> its pictures.
      fields: of the annotations.
      encode: (file, matrix onto the canvas, (H, W) of the canvas, random generator or None) -> the fields of one.
      truth: file -> the annotations as they are in the file.
      varies: two uses of one picture may differ.
    """

    splits: Mapping[str, list[pathlib.Path]]
    fields: Mapping[str, Field]
    encode: Callable
    truth: Callable
    varies: bool

    @property
    def sizes(self) -> dict[str, int]:
        """split -> number of pictures."""
        return {split: len(files) for split, files in self.splits.items()}


class ListedImages(Source):
    """Pictures with annotations, decoded as they are fetched; `files[id]` is the path of an example."""

    def __init__(self, files: Sequence[pathlib.Path], listed: _Listed, preparation: Preparation, info: Info):
        self.files, self.listed, self.preparation, self.info = files, listed, preparation, info

    def __len__(self):
        return len(self.files)

    def fetch(self, ids, keys=None):
        keys = [None] * len(ids) if keys is None else np.column_stack([keys, ids])
        examples = [self._read(self.files[i], key) for i, key in zip(ids, keys, strict=True)]
        return {name: np.stack([example[name] for example in examples]) for name in examples[0]}

    def resident(self):
        return None if self.listed.varies or self.preparation.random else self.read_all()

    def members(self, root):
        return members.of_files(self.files, root)

    def made_from(self):
        self.preparation.check_fixed()
        if self.listed.varies:
            raise DataError("data.cache keeps each example once, but one of several captions is drawn at each use")
        known = [{name: np.asarray(x).tolist() for name, x in self.listed.truth(file).items()} for file in self.files]
        return self.preparation, self.listed.fields, stamps(self.files), known

    def truth(self, ids):
        found = []
        for file in (self.files[i] for i in ids):
            height, width = picture_size(file)
            matrix = self.preparation.place(width, height).matrix
            found.append({"size": (height, width), "matrix": matrix, **self.listed.truth(file)})
        return found

    def _read(self, file, key):
        image, placement = self.preparation.read(file, key)
        rng = None if key is None else np.random.default_rng(key)
        return {"image": image, **self.listed.encode(file, placement.matrix, image.shape[:2], rng)}


def _opened(listed, split, pictures, mean, std, stats_images, split_seed) -> ListedImages:
    preparation = pictures.preparation(pictures.channels)
    splits = {split: list(files) for split, files in listed.splits.items()}
    for files in splits.values():
        np.random.default_rng(split_seed).shuffle(files)
    first, every = next(iter(splits.values())), [file for files in splits.values() for file in files]
    shape = (*(sides(pictures.image_size) or common_size(every)), pictures.channels)
    mean, std = normalisation(mean, std, lambda: preparation.read_all(first[:stats_images]), pictures.channels)
    fields = {"image": Field("image", shape, "uint8"), **listed.fields}
    chosen = [file for name, start, stop in resolve(split, listed.sizes) for file in splits[name][start:stop]]
    return ListedImages(chosen, listed, preparation, Info(fields, mean, std))


def _listing(argument: str, kind: str, columns: Sequence[str]) -> Listing:
    """The list that a page names. Raises DataError where there is none."""
    path = pathlib.Path(argument).expanduser()
    if not argument or not os.path.isfile(path):
        raise DataError(f"no file {argument!r}: write '{kind}:path/to/{kind}.csv'")
    return read_listing(path, columns)


def _boxes_of(listing: Listing) -> tuple[dict[pathlib.Path, list[tuple[list[float], str]]], LeftOut]:
    """(file -> (corners, label) of each of its boxes, what is left out)."""
    rows: dict[pathlib.Path, list[Row]] = {}
    for row in listing.rows:
        rows.setdefault(row.file, []).append(row)
    objects, left_out = {}, Counter()
    for file, own in rows.items():
        empty = [row for row in own if not any(row.values[name] for name in (*CORNERS, "label"))]
        full = [row for row in own if row not in empty]
        if empty and full:
            raise DataError(
                f"{listing.path}: {file} has no object in line {empty[0].line} and a box in line {full[0].line}"
            )
        boxes = [_box(listing.path, row) for row in full]
        objects[file] = [box for i, box in enumerate(boxes) if box not in boxes[:i]]
        left_out["listed twice"] += len(own) - max(len(objects[file]), 1)
    return objects, +left_out


def _box(path: pathlib.Path, row: Row) -> tuple[list[float], str]:
    """(corners, label) of one row."""
    try:
        corners = [float(row.values[name]) for name in CORNERS]
    except ValueError:
        raise DataError(f"{path} line {row.line}: {', '.join(CORNERS)} must be numbers") from None
    if not row.values["label"]:
        raise DataError(f"{path} line {row.line}: no label")
    height, width = picture_size(row.file)
    x1, y1, x2, y2 = corners
    if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
        hint = ""
        if x2 > 0 and x1 + x2 <= width and y2 > 0 and y1 + y2 <= height and (x2 <= x1 or y2 <= y1):
            hint = ": are these x, y, width, height?"
        raise DataError(
            f"{path} line {row.line}: the box ({x1:g}, {y1:g}, {x2:g}, {y2:g}) is empty or leaves the picture of"
            f" {width}×{height} pixels{hint}"
        )
    return corners, row.values["label"]
