"""The table, and the two sources that need no files."""

import numpy as np
import pytest

from data import SOURCES, DataError, find_source, open_source
from data.source import normalisation, statistics


def test_every_entry_of_the_table_opens():
    for name in SOURCES:
        function, argument = find_source(f"{name}:some/path")
        assert callable(function)
        assert argument == "some/path"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("digit", {}, "did you mean 'digits'"),
        ("quux", {}, "there is .*digits, folder"),
        ("digits", {"siz": 32}, "did you mean 'size'"),
        ("digits:x", {}, "takes no argument"),
        ("digits", {"size": 0}, "must be positive"),
    ],
)
def test_errors(name, options, message):
    with pytest.raises(DataError, match=message):
        open_source(name, "train", **options)


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    source = open_source("digits", "all").resident()
    assert source["image"].shape == (1797, 8, 8, 1)
    assert source["image"].dtype == np.uint8
    assert source["label"].dtype == np.int32

    def rows(images, labels):
        return sorted((*row, label) for row, label in zip(images.tolist(), labels.tolist(), strict=True))

    back = np.round(source["image"].reshape(-1, 64) * (16 / 255)).astype(int)
    assert rows(back, source["label"]) == rows(images.astype(int), labels)


def test_digits_test_split_is_a_fifth_of_each_class_and_fixed():
    train, test = (open_source("digits", split) for split in ("train", "test"))
    counts = [np.bincount(s.arrays["label"]) for s in (train, test)]
    np.testing.assert_array_equal(counts[1], np.round(0.2 * (counts[0] + counts[1])))
    assert (len(train), len(test)) == (1438, 359)
    assert test.arrays["label"][:10].tolist() == open_source("digits", "test[:10]").arrays["label"].tolist()
    other = open_source("digits", "test", split_seed=1)
    assert len(other) == 359
    assert not np.array_equal(other.arrays["image"], test.arrays["image"])


def test_digits_are_enlarged_bilinearly():
    native, large = (open_source("digits", "test", size=size) for size in (8, 32))
    assert large.info.shape == (32, 32, 1)
    np.testing.assert_array_equal(native.arrays["label"], large.arrays["label"])
    # Half-pixel centres: between the centres of two pixels lies their weighted mean.
    row = native.arrays["image"][0, :, :, 0].astype(float)
    centre = (np.arange(32) + 0.5) / 4 - 0.5
    expected = np.array([np.interp(centre, np.arange(8), r) for r in row])
    expected = np.array([np.interp(centre, np.arange(8), c) for c in expected.T]).T
    assert np.abs(large.arrays["image"][0, :, :, 0] - expected).max() <= 1


def test_constants_are_those_of_the_whole_training_split():
    info = open_source("digits", "train[:10]").info
    pixels = open_source("digits", "train").arrays["image"] / 255
    np.testing.assert_allclose(info.mean, pixels.mean(), rtol=1e-12)
    np.testing.assert_allclose(info.std, pixels.std(), rtol=1e-12)
    assert info == open_source("digits", "test").info


def test_statistics_per_channel():
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 3, 3), np.uint8)
    mean, std = statistics(images)
    np.testing.assert_allclose(mean, (images / 255).mean((0, 1, 2)))
    np.testing.assert_allclose(std, (images / 255).std((0, 1, 2)))


def test_given_constants_are_used_and_checked():
    assert normalisation((0.5,), (0.25,), None, 1) == ((0.5,), (0.25,))
    with pytest.raises(DataError, match="2 numbers, the images have 3 channels"):
        normalisation((0.5, 0.5), (), None, 3)


def test_synthetic_is_a_pure_function_of_the_id():
    train = open_source("synthetic", "train", num_examples=1_000_000)
    ids = np.array([5, 999_999, 5])
    batch = train.fetch(ids)
    assert len(train) == 1_000_000
    assert batch["image"].shape == (3, 32, 32, 3)
    assert batch["label"].tolist() == [5, 9, 5]
    np.testing.assert_array_equal(batch["image"][0], batch["image"][2])
    tail = open_source("synthetic", "test[:4]+train[-1:]", num_examples=1_000_000)
    np.testing.assert_array_equal(tail.fetch(np.array([4]))["image"][0], batch["image"][1])
    assert not np.array_equal(tail.fetch(np.array([0]))["image"], train.fetch(np.array([0]))["image"])
