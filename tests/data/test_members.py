"""The numbers by which a run recognises its examples: they stay when a folder moves and when examples are added."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from data import open_source
from data.members import of_places

NOWHERE = pathlib.Path()


def pictures(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        Image.fromarray(np.full((8, 8), 20 * i, np.uint8)).save(folder / f"{name}.png")


def of_classes(root):
    for name in ("ant", "bee"):
        pictures(root / name, "one", "two")
    return f"folder:{root}"


def of_pairs(root):
    for name in ("images", "masks"):
        pictures(root / name, "one", "two", "three")
    for mask in (root / "masks").iterdir():
        Image.fromarray(np.eye(8, dtype=np.uint8)).save(mask)
    return f"pairs:{root}"


def of_boxes(root):
    pictures(root, "one", "two", "three")
    rows = "".join(f"{name}.png,1,1,4,4,cat\n" for name in ("one", "two", "three"))
    (root / "boxes.csv").write_text(f"file,x1,y1,x2,y2,label\n{rows}")
    return f"boxes:{root / 'boxes.csv'}"


@pytest.mark.parametrize("make", [of_classes, of_pairs, of_boxes])
def test_files_are_recognised_by_their_names_wherever_the_folder_is(make, tmp_path):
    root = tmp_path / "set"
    name = make(root)
    before = open_source(name, "train").members(root)
    moved = root.rename(tmp_path / "moved")
    after = open_source(name.replace(str(root), str(moved)), "train").members(moved)
    np.testing.assert_array_equal(before, after)
    assert before.dtype == np.uint64 and len(set(before.tolist())) == len(before)


@pytest.mark.parametrize("name", ["digits", "synthetic", "gaussians"])
def test_an_example_of_a_fixed_set_keeps_its_number_in_a_slice(name):
    whole = open_source(name, "train[:60]").members(NOWHERE)
    np.testing.assert_array_equal(open_source(name, "train[20:40]").members(NOWHERE), whole[20:40])
    assert not np.isin(open_source(name, "test[:20]").members(NOWHERE), whole).any()


def test_places_differ_between_splits():
    places = of_places([("train", 2, 5), ("test", 2, 5)])
    assert len(set(places.tolist())) == 6
    np.testing.assert_array_equal(places[:2], of_places([("train", 2, 4)]))
