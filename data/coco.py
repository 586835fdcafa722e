"""Folders of pictures with one file of JSON for each split, as COCO has them (Lin et al. 2014)."""

import json
import math
import os
import pathlib
from collections import Counter
from typing import Any

import numpy as np

from data.annotations import ListedImages, Objects, boxed
from data.errors import DataError
from data.files import describe
from data.reading import Pictures

NEEDED = {
    "image": ("id", "file_name", "width", "height"),
    "category": ("id", "name"),
    "annotation": ("id", "image_id", "category_id", "bbox"),
}
OUTSIDE = 1.0  # pixels by which a box may leave its picture: annotations are rounded


def coco(
    argument: str,
    split: str,
    pictures: Pictures = Pictures(crop="letterbox"),
    max_objects: int = 100,
    annotations: str = "annotations/instances_{split}.json",
    images: str = "{split}",
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
    stats_images: int = 512,
    split_seed: int = 0,
) -> ListedImages:
    """The folder `argument` with pictures in `images` and a file `annotations` for each split, such as "train2017".

    A batch holds image, boxes and labels as that of "boxes" (data/annotations.py). Classes are the categories in the
    order of their ids, which may have gaps. Crowds are not seen by training, and to find them is neither right nor
    wrong. Pictures without an object stay. Boxes without area are left out. The size of a picture is the one that the
    JSON states; it is not compared with the file.

    Args:
      annotations, images: without {split} in `annotations` its one file is "train".
      max_objects: the most boxes of a picture; COCO's pictures have up to 93.

    Raises DataError, with the file and the id: JSON that cannot be read or lacks a list; ids or pictures that are given
    twice; annotations of a picture or a category that is not listed; sizes and boxes that are not finite numbers; boxes
    of negative sides or outside of their picture; pictures that are missing; splits with different categories; no box
    at all.
    """
    root = pathlib.Path(argument).expanduser()
    files = _files(root, annotations, argument)
    parts = {name: _read(path, root / images.format(split=name)) for name, path in files.items()}
    classes, first = None, None
    splits, objects, left_out = {}, {}, Counter()
    for name, (own, named, found, without) in parts.items():
        if classes is not None and named != classes:
            raise DataError(f"{files[name]} has other categories than {files[first]}")
        classes, first = named, name
        splits[name] = own
        objects |= found
        left_out["without area"] += without
    if not any(len(found.boxes) for found in objects.values()):
        raise DataError(f"{', '.join(map(str, files.values()))}: no box")
    source = boxed(splits, objects, classes, split, pictures, max_objects, mean, std, stats_images, split_seed)
    source.description = describe(f"coco:{argument}", {k: len(v) for k, v in splits.items()}, classes, +left_out)
    return source


def _files(root: pathlib.Path, pattern: str, argument: str) -> dict[str, pathlib.Path]:
    """split -> its file."""
    before, split, after = pattern.partition("{split}")
    if split:
        start = len(str(root / before)) if before and not before.endswith("/") else len(str(root / before)) + 1
        paths = sorted(root.glob(f"{before}*{after}"))
        found = {str(path)[start : len(str(path)) - len(after)]: path for path in paths}
    else:
        found = {"train": root / pattern} if os.path.isfile(root / pattern) else {}
    if not argument or not found:
        raise DataError(f"no file {root / pattern}: data.annotations names those of coco:{argument}")
    return found


def _read(path: pathlib.Path, folder: pathlib.Path) -> tuple[list, tuple[str, ...], dict, int]:
    """(pictures, classes, picture -> Objects, how many boxes have no area) of one file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        images, rows, categories = (content[name] for name in ("images", "annotations", "categories"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    except (KeyError, TypeError) as error:
        raise DataError(f"{path} is not COCO's JSON: it has no {error}") from error
    pictures, kinds = _by_id(path, "image", images), _by_id(path, "category", categories)
    _by_id(path, "annotation", rows)
    sizes = {
        number: _finite(f"{path}: image {number} has the width and height", [image["width"], image["height"]], 2)
        for number, image in pictures.items()
    }
    order = sorted(kinds)
    present = {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()
    boxes: dict[Any, list] = {number: [] for number in pictures}
    without = 0
    for row in rows:
        where = f"{path}: annotation {row['id']}"
        if row["image_id"] not in pictures:
            raise DataError(f"{where} is of image {row['image_id']}, which is not listed")
        if row["category_id"] not in kinds:
            raise DataError(f"{where} is of category {row['category_id']}, which is not listed")
        x, y, w, h = _finite(f"{where} has the bbox", row["bbox"], 4)
        width, height = sizes[row["image_id"]]
        if w < 0 or h < 0 or min(x, y) < -OUTSIDE or x + w > width + OUTSIDE or y + h > height + OUTSIDE:
            hint = ": are these x1, y1, x2, y2?" if x < w <= width and y < h <= height else ""
            raise DataError(f"{where} has the box {x:g}, {y:g}, {w:g}, {h:g} in a picture of {width}×{height}{hint}")
        corners = np.clip([x, y, x + w, y + h], 0, [width, height, width, height])
        if corners[2] <= corners[0] or corners[3] <= corners[1]:
            without += 1
            continue
        number = order.index(row["category_id"])
        boxes[row["image_id"]].append((corners, number, bool(row.get("iscrowd", 0)), row.get("area", w * h)))
    found = {}
    for number, image in pictures.items():
        if image["file_name"] not in present and not os.path.isfile(folder / image["file_name"]):
            raise DataError(f"{path}: image {number} is {folder / image['file_name']}, which is missing")
        if folder / image["file_name"] in found:
            raise DataError(f"{path}: two of its image rows have the file_name {image['file_name']!r}")
        corners, labels, crowds, areas = zip(*boxes[number], strict=True) if boxes[number] else ((),) * 4
        more = {"crowd": np.array(crowds, bool), "area": np.array(areas, np.float64)}
        found[folder / image["file_name"]] = Objects(np.array(corners), np.array(labels, np.int64), more)
    return list(found), tuple(kinds[number]["name"] for number in order), found, without


def _finite(where: str, values: Any, count: int) -> list[float]:
    """`values`, if they are `count` finite numbers. Raises DataError that starts with `where`."""
    numbers = isinstance(values, list) and all(isinstance(x, int | float) and math.isfinite(x) for x in values)
    if not numbers or len(values) != count:
        raise DataError(f"{where} {values!r}, which is not {count} finite numbers")
    return values


def _by_id(path: pathlib.Path, what: str, rows: Any) -> dict[Any, dict]:
    """id -> row. Raises DataError for a row without what it needs, and for an id that is given twice."""
    if not isinstance(rows, list):
        raise DataError(f"{path} is not COCO's JSON: its {what} rows are not a list")
    found = {}
    for i, row in enumerate(rows):
        for name in NEEDED[what]:
            if name not in row:
                raise DataError(f"{path}: {what} number {i} has no {name!r}")
        if row["id"] in found:
            raise DataError(f"{path}: two of its {what} rows have the id {row['id']}")
        found[row["id"]] = row
    return found
