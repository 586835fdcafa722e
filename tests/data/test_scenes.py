"""Scenes: the parts of a record agree with each other, and the splits share no handwriting."""

import numpy as np
import pytest

from data import open_source
from data.digits import digits
from data.errors import DataError
from data.scenes import CLASSES, DIGITS, VOCABULARY

SIZES = dict(num_train=60, num_validation=5, num_test=7)


@pytest.fixture(scope="module")
def source():
    return open_source("scenes", "train", **SIZES)


@pytest.fixture(scope="module")
def examples(source):
    batch = source.fetch(np.arange(len(source)))
    return [{name: x[i] for name, x in batch.items()} for i in range(len(source))]


def test_shapes_and_info(source):
    batch = source.fetch(np.arange(4))
    shapes = {name: (x.shape, x.dtype.name) for name, x in batch.items()}
    assert shapes == {
        "image": ((4, 64, 64, 3), "uint8"),
        "masks": ((4, 64, 64), "int8"),
        "instances": ((4, 64, 64), "uint8"),
        "labels": ((4, 5), "int32"),
        "boxes": ((4, 5, 4), "float32"),
        "points": ((4, 5, 1, 3), "float32"),
        "tokens": ((4, 46), "int32"),
    }
    assert source.info.classes == CLASSES and source.info.shape == (64, 64, 3)
    assert len(source.info.mean) == len(source.info.std) == 3


def test_boxes_enclose_what_is_visible_of_each_object(examples):
    for scene in examples:
        count = (scene["labels"] >= 0).sum()
        assert 1 <= count <= 5 and (scene["labels"][count:] == -1).all()
        assert set(np.unique(scene["instances"])) == set(range(count + 1))
        for i in range(count):
            rows, columns = np.nonzero(scene["instances"] == 1 + i)
            left, top, right, bottom = scene["boxes"][i]
            assert (left, top, right, bottom) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            np.testing.assert_array_equal(scene["points"][i], [[(left + right) / 2, (top + bottom) / 2, 1]])
            assert (scene["masks"][rows, columns] == scene["labels"][i]).all()
        assert not scene["boxes"][count:].any() and not scene["points"][count:].any()
        np.testing.assert_array_equal(scene["masks"] > 0, scene["instances"] > 0)


def test_captions_name_the_objects(source, examples):
    for scene in examples:
        caption = VOCABULARY.decode(scene["tokens"])
        present = scene["labels"][scene["labels"] >= 0]
        words = caption.split()
        assert sorted(word for word in words if word in CLASSES) == sorted(CLASSES[label] for label in present)
        assert words.count(",") == len(present)
        tokens = scene["tokens"].tolist()
        assert tokens[0] == VOCABULARY.words.index("<start>") and tokens.count(VOCABULARY.words.index("<end>")) == 1
    assert any(VOCABULARY.decode(scene["tokens"]).startswith("one digit on") for scene in examples)
    assert source.info.fields["tokens"].names == VOCABULARY.words


def test_an_example_depends_on_the_seed_the_split_and_the_id_alone(source):
    again = open_source("scenes", "train[20:30]", **{**SIZES, "num_train": 40 + 20})
    other = open_source("scenes", "train[20:30]", scene_seed=1, **SIZES)
    whole = source.fetch(np.arange(20, 30))
    for name, x in again.fetch(np.arange(10)).items():
        np.testing.assert_array_equal(x, whole[name])
    assert (other.fetch(np.arange(10))["image"] != whole["image"]).any((1, 2, 3)).all()
    assert len(open_source("scenes", "validation+test[:3]", **SIZES)) == 8


def test_the_splits_share_no_digit():
    hands = {name: digits("", spec).arrays["image"] for name, spec in DIGITS.items()}
    whole = sum(len(hand) for hand in hands.values())
    assert whole == 1797 and all(len(hand) > 100 for hand in hands.values())
    train, validation, test = ({image.tobytes() for image in hand} for hand in hands.values())
    assert not train & validation and not train & test and not validation & test


def test_size_and_number_of_objects_are_options():
    batch = open_source("scenes", "test", size=40, max_objects=8, **SIZES).fetch(np.arange(7))
    assert batch["image"].shape == (7, 40, 40, 3)
    assert batch["boxes"].shape == (7, 8, 4) and batch["boxes"].max() <= 40
    assert batch["tokens"].shape == (7, 70)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"size": 8}, "32 or more"), ({"max_objects": 9}, "between 1 and 8"), ({"num_test": 0}, "at least one example")],
)
def test_bad_options_are_one_clear_line(options, message):
    with pytest.raises(DataError, match=message):
        open_source("scenes", "test", **{**SIZES, **options})


def test_truth_is_what_is_in_a_scene_and_no_padding(source, examples):
    truth = source.truth(np.array([7, 2]))
    for found, scene in zip(truth, (examples[7], examples[2]), strict=True):
        count = (scene["labels"] >= 0).sum()
        assert found["size"] == (64, 64)
        assert found["boxes"].shape == (count, 4) and found["points"].shape == (count, 1, 3)
        np.testing.assert_array_equal(found["boxes"], scene["boxes"][:count])
        np.testing.assert_array_equal(found["labels"], scene["labels"][:count])
        np.testing.assert_array_equal(found["matrix"], np.eye(2, 3))
        assert found["captions"] == [VOCABULARY.decode(scene["tokens"])]


def test_a_scene_has_no_class_of_its_own(source):
    with pytest.raises(DataError, match="no class per example: they have image, masks"):
        source.labels()
