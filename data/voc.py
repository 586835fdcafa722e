"""Folders of pictures with a file of XML for each, as PASCAL VOC has them and as LabelImg writes them."""

import os
import pathlib
import xml.etree.ElementTree
from collections import Counter

import numpy as np

from data.annotations import ListedImages, Objects, boxed
from data.decode import picture_size
from data.errors import DataError, unknown
from data.files import PictureFiles, describe
from data.reading import Pictures

CORNERS = ("xmin", "ymin", "xmax", "ymax")


def voc(
    argument: str,
    split: str,
    pictures: Pictures = Pictures(crop="letterbox"),
    max_objects: int = 60,
    annotations: str = "Annotations",
    images: str = "JPEGImages",
    sets: str = "ImageSets/Main",
    first: int = 1,
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
    stats_images: int = 512,
    split_seed: int = 0,
) -> ListedImages:
    """The folder `argument` with XML in `annotations`, pictures of the same names in `images`, and splits in `sets`.

    A file train.txt in `sets` lists the names of a split; without that folder every picture with XML is in "train". A
    batch holds image, boxes and labels as that of "boxes" (data/annotations.py). Objects that are "difficult" count as
    crowd: training does not see them, and to find them is neither right nor wrong. Boxes of one row or column of
    pixels, whose corners are equal, are left out.

    Args:
      max_objects: the most boxes of a picture.
      first: the number of the first pixel: 1 in VOC, whose boxes include their last pixel.

    Raises DataError, with the file: XML that cannot be read, without a size or with one that is not the picture's; a
    box that is turned inside out or leaves its picture; a picture that is missing, or two of one name; no box at all.
    """
    root = pathlib.Path(argument).expanduser()
    for folder in (annotations, images):
        if not argument or not os.path.isdir(root / folder):
            raise DataError(f"no folder {root / folder}: data.annotations and data.images name those of voc:{argument}")
    names = _splits(root / sets, root / annotations)
    by_name = _pictures(root / images, root / annotations, set().union(*names.values()))
    left_out: Counter[str] = Counter()
    found = {
        name: _objects(root / annotations / f"{name}.xml", file, first, left_out) for name, file in by_name.items()
    }
    classes = tuple(sorted({label for rows in found.values() for label, *_ in rows}))
    if not classes:
        raise DataError(f"{root / annotations} has no box")
    objects = {
        by_name[name]: Objects(
            np.array([box for _, box, _ in rows]),
            np.array([classes.index(label) for label, *_ in rows], np.int64),
            {"crowd": np.array([difficult for *_, difficult in rows], bool)},
        )
        for name, rows in found.items()
    }
    splits = {name: [by_name[each] for each in names[name]] for name in names}
    source = boxed(splits, objects, classes, split, pictures, max_objects, mean, std, stats_images, split_seed)
    sizes = {name: len(files) for name, files in splits.items()}
    source.description = describe(f"voc:{argument}", sizes, classes, +left_out)
    return source


def _splits(sets: pathlib.Path, annotations: pathlib.Path) -> dict[str, list[str]]:
    """split -> names of its pictures. Lists of a class alone, such as dog_train.txt, are not splits."""
    every = {path.stem for path in annotations.glob("*.xml")}
    if not sets.is_dir():
        return {"train": sorted(every)}
    found = {}
    for path in sorted(sets.glob("*.txt")):
        rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        if all(len(row) == 1 for row in rows):
            found[path.stem] = [row[0] for row in rows]
            for name in found[path.stem]:
                if name not in every:
                    raise DataError(f"{path}: {unknown('annotation', f'{name}.xml', (f'{x}.xml' for x in every))}")
    if not found:
        raise DataError(f"{sets} has no list of names, such as train.txt")
    return found


def _pictures(images: pathlib.Path, annotations: pathlib.Path, names: set[str]) -> dict[str, pathlib.Path]:
    """name -> its picture. Raises DataError for a name without a picture, or with two."""
    found: dict[str, pathlib.Path] = {}
    for file in PictureFiles().files(images, deep=False):
        if file.stem in found:
            raise DataError(f"{annotations / file.stem}.xml has two pictures, {found[file.stem]} and {file}: keep one")
        if file.stem in names:
            found[file.stem] = file
    for name in sorted(names - found.keys()):
        raise DataError(f"{annotations / name}.xml has no picture {name} in {images}")
    return found


def _objects(path: pathlib.Path, picture: pathlib.Path, first: int, left_out: Counter):
    """[(class, corners, difficult)], of each object in the XML `path` of `picture`."""
    try:
        tree = xml.etree.ElementTree.parse(path).getroot()
    except (OSError, xml.etree.ElementTree.ParseError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    width, height = (_number(path, tree, f"size/{side}") for side in ("width", "height"))
    size = picture_size(picture)
    if (height, width) != size:
        raise DataError(f"{path}: the size is {width:g}×{height:g}, and {picture} has {size[1]}×{size[0]} pixels")
    found = []
    for i, node in enumerate(tree.iter("object")):
        label = (node.findtext("name") or "").strip()
        if not label:
            raise DataError(f"{path}: object {i} has no name")
        x1, y1, x2, y2 = (_number(path, node, f"bndbox/{corner}") for corner in CORNERS)
        if x1 == x2 or y1 == y2:
            left_out["of one row or column"] += 1
            continue
        corners = [x1 - first, y1 - first, x2 - first + 1, y2 - first + 1] if first else [x1, y1, x2, y2]
        if not (0 <= corners[0] < corners[2] <= width and 0 <= corners[1] < corners[3] <= height):
            hint = ": is the first pixel 0? then set data.first=0" if first and min(x1, y1) == 0 else ""
            raise DataError(
                f"{path}: the box ({x1:g}, {y1:g}, {x2:g}, {y2:g}) of object {i} is empty or leaves the picture of"
                f" {width:g}×{height:g} pixels{hint}"
            )
        found.append((label, corners, (node.findtext("difficult") or "0").strip() == "1"))
    return found


def _number(path, node, name: str) -> float:
    text = node.findtext(name)
    try:
        return float(text)
    except (TypeError, ValueError):
        raise DataError(f"{path}: {name} is {'missing' if text is None else repr(text)}, not a number") from None
