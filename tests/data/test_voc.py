"""Folders in the form of PASCAL VOC."""

import numpy as np
import pytest
from PIL import Image

from data import open_source
from data.errors import DataError

OBJECT = "<object><name>{}</name><difficult>{}</difficult><bndbox>{}</bndbox></object>"


def write(root, name, objects, size="<size><width>40</width><height>20</height></size>", picture=True):
    """objects: (class, difficult, corners)."""
    for folder in ("Annotations", "JPEGImages"):
        (root / folder).mkdir(exist_ok=True)
    if picture:
        Image.fromarray(np.full((20, 40, 3), 128, np.uint8)).save(root / "JPEGImages" / f"{name}.png")
    corners = lambda box: "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    body = "".join(OBJECT.format(label, difficult, corners(box)) for label, difficult, box in objects)
    (root / "Annotations" / f"{name}.xml").write_text(f"<annotation>{size}{body}</annotation>")


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, "a", [("dog", 0, (1, 1, 20, 10)), ("cat", 1, (31, 6, 40, 20)), ("cat", 0, (5, 5, 5, 9))])
    write(tmp_path, "b", [])
    return tmp_path


def test_boxes_include_their_last_pixel_and_difficult_ones_are_not_trained_on(folder):
    source = open_source(f"voc:{folder}", "train", image_size=(20, 40), max_objects=3)
    assert len(source) == 2 and source.info.classes == ("cat", "dog")
    assert "1 of one row or column" in source.description
    (a,) = (i for i in range(2) if source.files[i].stem == "a")
    batch, (truth,) = source.fetch(np.array([a])), source.truth(np.array([a]))
    np.testing.assert_array_equal(batch["boxes"][0], [[0, 0, 20, 10], [0, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(batch["labels"][0], [1, -1, -1])
    np.testing.assert_array_equal(truth["boxes"], [[0, 0, 20, 10], [30, 5, 40, 20]])
    np.testing.assert_array_equal(truth["crowd"], [False, True])
    assert (source.fetch(np.array([1 - a]))["labels"] == -1).all()


def test_lists_of_names_are_splits(folder):
    sets = folder / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    (sets / "train.txt").write_text("a\n")
    (sets / "val.txt").write_text("b\n")
    (sets / "dog_train.txt").write_text("a 1\n")
    assert [len(open_source(f"voc:{folder}", split, image_size=20)) for split in ("train", "val", "train+val")] == [
        1,
        1,
        2,
    ]
    (sets / "val.txt").write_text("c\n")
    with pytest.raises(DataError, match=r"no annotation 'c.xml'"):
        open_source(f"voc:{folder}", "train", image_size=20)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], ""), r"c.xml: size/width is missing"),
        (
            ([("dog", 0, (30, 5, 41, 9))],),
            r"the box \(30, 5, 41, 9\) of object 0 .* leaves the picture of 40×20 pixels$",
        ),
        (([("dog", 0, (0, 0, 10, 10))],), "is the first pixel 0"),
        (([("dog", 0, (9, 1, 5, 9))],), "is empty or leaves"),
        (([("dog", 0, (9, 1, "x", 9))],), "bndbox/xmax is 'x', not a number"),
        (([("", 0, (9, 1, 10, 9))],), "object 0 has no name"),
    ],
)
def test_what_is_wrong_is_one_line_with_the_file(folder, arguments, message):
    write(folder, "c", *arguments)
    with pytest.raises(DataError, match=message):
        open_source(f"voc:{folder}", "train", image_size=20)


def test_pictures_that_are_missing(folder):
    write(folder, "c", [], picture=False)
    with pytest.raises(DataError, match=r"c.xml has no picture c in"):
        open_source(f"voc:{folder}", "train", image_size=20)
    with pytest.raises(DataError, match=r"no folder .*Pictures: data.annotations and data.images name"):
        open_source(f"voc:{folder}", "train", image_size=20, images="Pictures")


def test_the_size_is_that_of_the_picture(folder):
    Image.fromarray(np.zeros((40, 20, 3), np.uint8)).save(folder / "JPEGImages" / "a.png")
    with pytest.raises(DataError, match=r"a.xml: the size is 40×20, and .*a.png has 20×40 pixels$"):
        open_source(f"voc:{folder}", "train", image_size=20)


def test_two_pictures_of_one_name(folder):
    picture = Image.fromarray(np.zeros((20, 40, 3), np.uint8))
    for name in ("unlisted.png", "unlisted.jpg"):
        picture.save(folder / "JPEGImages" / name)
    assert len(open_source(f"voc:{folder}", "train", image_size=20)) == 2
    picture.save(folder / "JPEGImages" / "a.jpg")
    with pytest.raises(DataError, match=r"a.xml has two pictures, .*a.jpg and .*a.png: keep one$"):
        open_source(f"voc:{folder}", "train", image_size=20)


def test_the_cells_of_bccd(shared_datasets):
    sizes = {}
    for split in ("train", "val", "test"):
        source = open_source(f"voc:{shared_datasets / 'bccd'}", split, image_size=(120, 160), stats_images=2)
        sizes[split] = len(source)
    assert sizes == {"train": 205, "val": 87, "test": 72}
    assert source.info.classes == ("Platelets", "RBC", "WBC") and "2 of one row or column" in source.description
