"""The keys that all sources of picture files share: flat in a page, one object in a source."""

import dataclasses

import pytest

from data import DataError, open_source
from data.options import bound, parameters
from data.preparation import Preparation
from data.reading import Pictures, Resized, preparation
from data.table import SOURCES
from experiments.pages.component import find

OF_FILES = {"boxes", "captions", "coco", "folder", "image", "pairs", "side_by_side", "tfds", "unpaired", "voc"}
OF_TWO = ("pairs", "side_by_side")


def source(argument: str, split: str, pictures: Pictures = Pictures(crop="resize"), seed: int = 0):
    return pictures, seed


def test_the_fields_of_a_dataclass_are_options_with_the_defaults_of_the_source():
    found = parameters(source)
    assert list(found) == ["argument", "split", *(field.name for field in dataclasses.fields(Pictures)), "seed"]
    assert (found["crop"].default, found["white"].default, found["white"].annotation) == ("resize", 0.0, float)
    assert bound(source, {"white": 4095.0, "seed": 3}) == {"pictures": Pictures(white=4095.0, crop="resize"), "seed": 3}
    assert bound(source, {}) == {"pictures": Pictures(crop="resize")}


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_every_source_of_files_has_them_and_says_how_it_reads_without_opening_anything(name):
    keys = find("data", name).defaults()
    assert ({"white", "background"} <= keys.keys()) == (name in OF_FILES)
    found = preparation(f"{name}:nowhere", {}, 3)
    if name not in OF_FILES:
        assert found is None
        return
    size = {"size" if name in OF_TWO else "image_size": (20, 30)}
    chosen = preparation(f"{name}:nowhere", {**size, "white": 9.0, "background": (1,)}, 3)
    crop = "resize" if name in OF_TWO else keys["crop"]
    assert found == Preparation(3, None, crop)
    assert chosen == Preparation(3, (20, 30), crop, 9.0, (1,))


def test_a_resized_source_has_one_crop():
    assert Resized(size=(4, 5)).preparation(1) == Preparation(1, (4, 5), "resize")


def test_a_misspelt_option_names_the_near_one():
    with pytest.raises(DataError, match="no option of data set folder:x 'backgruond': did you mean 'background'"):
        open_source("folder:x", "train", backgruond=(0,))
