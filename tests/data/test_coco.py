"""Folders in the form of COCO."""

import json

import numpy as np
import pytest
from PIL import Image

from data import open_source
from data.errors import DataError


def annotation(number, image=7, category=18, box=(0, 0, 20, 10), **more):
    return {"id": number, "image_id": image, "category_id": category, "bbox": list(box), **more}


@pytest.fixture
def write(tmp_path):
    """write(annotations, ...) -> a folder with the pictures 7 and 9, of 40 × 20 pixels."""
    (tmp_path / "train").mkdir()
    (tmp_path / "annotations").mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(np.full((20, 40, 3), 128, np.uint8)).save(tmp_path / "train" / name)

    def write(*annotations, **replaced):
        size = {"width": 40, "height": 20}
        content = {
            "images": [{"id": 7, "file_name": "a.png", **size}, {"id": 9, "file_name": "b.png", **size}],
            "categories": [{"id": 44, "name": "bottle"}, {"id": 18, "name": "dog"}],
            "annotations": list(annotations),
        }
        (tmp_path / "annotations" / "instances_train.json").write_text(json.dumps({**content, **replaced}))
        return tmp_path

    return write


def opened(folder, **options):
    return open_source(f"coco:{folder}", "train", image_size=(20, 40), max_objects=3, **options)


def test_ids_with_gaps_crowds_and_pictures_without_objects(write):
    crowd = annotation(2, category=44, box=(30, 5, 10, 15), iscrowd=1, area=90.0)
    source = opened(write(annotation(5), crowd, annotation(8, box=(3, 3, 0, 4))))
    assert len(source) == 2 and source.info.classes == ("dog", "bottle") and "1 without area" in source.description
    (a,) = (i for i in range(2) if source.files[i].name == "a.png")
    batch, (truth,) = source.fetch(np.array([a])), source.truth(np.array([a]))
    np.testing.assert_array_equal(batch["boxes"][0], [[0, 0, 20, 10], [0, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(batch["labels"][0], [0, -1, -1])
    np.testing.assert_array_equal(truth["boxes"], [[0, 0, 20, 10], [30, 5, 40, 20]])
    np.testing.assert_array_equal(truth["labels"], [0, 1])
    np.testing.assert_array_equal(truth["crowd"], [False, True])
    np.testing.assert_array_equal(truth["area"], [200, 90])
    assert (source.fetch(np.array([1 - a]))["labels"] == -1).all()


@pytest.mark.parametrize(
    ("rows", "replaced", "message"),
    [
        ([annotation(1), annotation(1)], {}, "two of its annotation rows have the id 1"),
        ([annotation(1, image=8)], {}, "annotation 1 is of image 8, which is not listed"),
        ([annotation(1, category=2)], {}, "annotation 1 is of category 2, which is not listed"),
        (
            [annotation(1, box=(30, 5, 38, 15))],
            {},
            r"has the box 30, 5, 38, 15 in a picture of 40×20: are these x1, y1",
        ),
        ([annotation(1, box=(3, 5, -1, 2))], {}, "has the box 3, 5, -1, 2 in a picture of 40×20$"),
        ([annotation(i) for i in range(4)], {}, "has 4 boxes: data.max_objects=3"),
        ([annotation(1, box=(3, 5, 2))], {}, r"annotation 1 has the bbox \[3, 5, 2\], which is not 4 finite numbers$"),
        ([annotation(1, box=(3, 5, 2, "x"))], {}, "annotation 1 has the bbox .*, which is not 4 finite numbers$"),
        ([annotation(1, box=(3, 5, 2, float("nan")))], {}, "annotation 1 has the bbox .* not 4 finite numbers$"),
        ([{**annotation(1), "bbox": None}], {}, "annotation 1 has the bbox None, which is not 4 finite numbers$"),
        (
            [annotation(1)],
            {"images": [{"id": 7, "file_name": "a.png", "width": "40", "height": 20}]},
            "image 7 has the width and height .*, which is not 2 finite numbers$",
        ),
        (
            [annotation(1)],
            {"images": [{"id": i, "file_name": "a.png", "width": 40, "height": 20} for i in (7, 9)]},
            "two of its image rows have the file_name 'a.png'$",
        ),
        ([], {}, "no box"),
        ([{"id": 1}], {}, "annotation number 0 has no 'image_id'"),
        ([annotation(1)], {"categories": None}, "is not COCO's JSON: its category rows are not a list"),
        (
            [annotation(1)],
            {"images": [{"id": 7, "file_name": "c.png", "width": 40, "height": 20}]},
            "image 7 is .*c.png, which is missing",
        ),
    ],
)
def test_what_is_wrong_is_one_line(write, rows, replaced, message):
    with pytest.raises(DataError, match=message):
        opened(write(*rows, **replaced))


def test_one_file_without_splits_is_for_training(write):
    folder = write(annotation(5))
    (folder / "all.json").write_bytes((folder / "annotations" / "instances_train.json").read_bytes())
    (folder / "all.json.bak").write_text("")
    assert len(opened(folder, annotations="all.json")) == 2
    with pytest.raises(DataError, match=r"no file .*every.json: data.annotations names"):
        opened(folder, annotations="every.json")


def test_a_folder_without_annotations(tmp_path):
    with pytest.raises(DataError, match=r"no file .*instances_\{split\}.json: data.annotations names"):
        opened(tmp_path)


def test_the_pictures_of_coco256(shared_datasets):
    folder = shared_datasets / "coco256"
    source = open_source(f"coco:{folder}", "train2017", image_size=64, stats_images=2)
    truth = source.truth(np.arange(len(source)))
    assert len(source) == 128 and len(source.info.classes) == 80
    assert sum(len(x["boxes"]) for x in truth) == 939 and sum(x["crowd"].sum() for x in truth) == 10
