import numpy as np
import pytest

from data import DataError, open_source

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 5, 4, 3), np.uint8)
LABELS = np.repeat([3, 7], 10)


def test_image_and_label_are_one_split(tmp_path):
    np.savez(tmp_path / "set.npz", image=IMAGES, label=LABELS)
    source = open_source(f"npz:{tmp_path}/set.npz", "train")
    order = np.random.default_rng(0).permutation(20)
    batch = source.fetch(np.arange(20))
    np.testing.assert_array_equal(batch["image"], IMAGES[order])
    np.testing.assert_array_equal(batch["label"], (LABELS[order] == 7).astype(np.int32))
    assert source.info.classes == ("3", "7")
    assert source.info.shape == (5, 4, 3)
    np.testing.assert_allclose(source.info.std, (IMAGES / 255).std((0, 1, 2)))
    halves = [open_source(f"npz:{tmp_path}/set.npz", s).arrays["label"] for s in ("train[:50%]", "train[50%:]")]
    assert all(set(half) == {0, 1} for half in halves)


def test_a_label_of_minus_one_is_ignored_and_no_class(tmp_path):
    np.savez(tmp_path / "set.npz", image=IMAGES, label=np.where(np.arange(20) % 5, LABELS, -1))
    source = open_source(f"npz:{tmp_path}/set.npz", "train")
    assert source.info.classes == ("3", "7")
    assert sorted(source.arrays["label"]) == [-1] * 4 + [0] * 8 + [1] * 8


def test_x_and_y_are_splits(tmp_path):
    names = np.array(["ape", "bee"])[(LABELS == 7).astype(int)]
    np.savez_compressed(
        tmp_path / "set.npz",
        x_test=IMAGES[:5, ..., 0],
        y_test=names[:5],
        x_train=IMAGES[..., 0],
        y_train=names[:, None],
    )
    train, test = (open_source(f"npz:{tmp_path}/set.npz", split) for split in ("train", "test"))
    assert (len(train), len(test)) == (20, 5)
    assert train.info == test.info
    assert test.info.shape == (5, 4, 1)
    assert test.info.classes == ("ape", "bee")
    assert set(test.arrays["label"]) == {0}
    np.testing.assert_allclose(test.info.mean, (IMAGES[..., 0] / 255).mean())


@pytest.mark.parametrize("train", ["train", "Training"])
@pytest.mark.parametrize("validation", ["val", "VALID", "validation", "Dev"])
@pytest.mark.parametrize("test", ["Test", "testing"])
def test_splits_are_called_as_in_folders(tmp_path, train, validation, test):
    sizes = {test: 4, validation: 3, train: 5}
    arrays = {f"x_{name}": IMAGES[:size] for name, size in sizes.items()}
    arrays |= {f"y_{name}": np.arange(size) % 2 for name, size in sizes.items()}
    np.savez(tmp_path / "set.npz", **arrays)
    for names, size in (((train, "train", "TRAINING"), 5), ((validation, "val", "validation"), 3), ((test, "test"), 4)):
        assert [len(open_source(f"npz:{tmp_path}/set.npz", name)) for name in names] == [size] * len(names)
    description = open_source(f"npz:{tmp_path}/set.npz", "all").description
    assert "12 images, 2 classes (0, 1), train 5 and validation 3 and test 4" in description


@pytest.mark.parametrize(
    "arrays",
    [{"image": IMAGES}, {"x_train": IMAGES}, *({"image": IMAGES, "label": LABELS * n} for n in (0, -1))],
    ids=["image alone", "x_train alone", "one class", "nothing labelled"],
)
def test_fewer_than_two_classes_are_data_without_labels(tmp_path, arrays):
    np.savez(tmp_path / "set.npz", **arrays)
    source = open_source(f"npz:{tmp_path}/set.npz", "train")
    batch = source.fetch(np.arange(20))
    assert batch.keys() == source.info.fields.keys() == {"image"} and source.info.classes == ()
    np.testing.assert_array_equal(batch["image"], IMAGES[np.random.default_rng(0).permutation(20)])


def test_arrays_that_are_not_read_are_said(tmp_path):
    np.savez(tmp_path / "set.npz", image=IMAGES, label=LABELS, patient=LABELS)
    description = open_source(f"npz:{tmp_path}/set.npz", "train").description
    assert description.endswith("train 20; left out 1: 1 array patient")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": IMAGES, "label": LABELS}, "needs image, label or x_train, y_train; it has images, label"),
        ({"x_train": IMAGES, "x_test": IMAGES, "y_test": LABELS}, "needs image, label or x_train, y_train"),
        ({"label": LABELS}, "needs image, label or x_train, y_train; it has label"),
        ({"x_train": IMAGES, "y_val": LABELS}, "needs image, label or x_train, y_train; it has x_train, y_val"),
        (
            {"x_val": IMAGES, "y_val": LABELS, "x_Valid": IMAGES, "y_Valid": LABELS},
            "set.npz: 'val' and 'Valid' both mean the split 'validation': rename one of them",
        ),
        (
            {"image": IMAGES, "label": LABELS, "x_test": IMAGES, "y_test": LABELS},
            "has image and label, and x_test too: which are the examples",
        ),
        ({"image": IMAGES / 255, "label": LABELS}, "image must be uint8 .* found float64"),
        ({"image": IMAGES, "label": LABELS[:4]}, r"label must be integers or strings \[20\]"),
        ({"image": IMAGES, "label": np.eye(20)}, r"label must be integers or strings \[20\]"),
        ({"image": IMAGES[:0], "label": LABELS[:0]}, "image has no image"),
        ({"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:, 1:], "y_test": LABELS}, "differ in the shape"),
    ],
)
def test_errors_name_the_remedy(tmp_path, arrays, message):
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(DataError, match=message):
        open_source(f"npz:{tmp_path}/set.npz", "train")


def test_pickles_are_not_executed(tmp_path):
    np.savez(tmp_path / "set.npz", image=IMAGES, label=np.array([object()] * 20))
    with pytest.raises(DataError, match="without pickled objects"):
        open_source(f"npz:{tmp_path}/set.npz", "train")
    (tmp_path / "text.npz").write_text("not an archive")
    with pytest.raises(DataError, match="cannot read"):
        open_source(f"npz:{tmp_path}/text.npz", "train")
    with pytest.raises(DataError, match=r"no file 'absent\.npz'"):
        open_source("npz:absent.npz", "train")
