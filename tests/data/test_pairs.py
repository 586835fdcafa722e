"""Images with masks: layouts, values, order, and what is said where something does not fit."""

import numpy as np
import pytest
from PIL import Image

from data import open_source
from data.errors import DataError


def write(folder, name, array, palette=False):
    folder.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    if palette:
        image.putpalette([0, 0, 0, 200, 10, 10, 10, 200, 10])
    image.save(folder / name)


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (12, 6, 8, 3), np.uint8), rng.integers(0, 3, (12, 6, 8)).astype(np.uint8)


@pytest.fixture
def root(tmp_path, arrays):
    for i, (image, mask) in enumerate(zip(*arrays, strict=True)):
        write(tmp_path / "images", f"{i}.png", image)
        write(tmp_path / "masks", f"{i}.png", mask, palette=i % 2 == 0)
    return tmp_path


def test_pairs_in_natural_order(root, arrays):
    source = open_source(f"pairs:{root}", "train")
    batch = source.fetch(np.arange(12))
    np.testing.assert_array_equal(batch["image"], arrays[0])
    np.testing.assert_array_equal(batch["masks"], arrays[1])
    assert batch["masks"].dtype == np.int16 and set(batch) == {"image", "masks"}
    assert source.info.classes == ("0", "1", "2") and source.info.shape == (6, 8, 3)
    np.testing.assert_allclose(source.info.mean, (arrays[0] / 255).mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_array_equal(source.resident()["masks"], arrays[1])
    tail = open_source(f"pairs:{root}", "train[10:]", classes=("sky", "road", "car"))
    np.testing.assert_array_equal(tail.fetch(np.arange(2))["masks"], arrays[1][10:])
    assert tail.info.classes == ("sky", "road", "car")


def test_void_is_ignored(root, arrays):
    masks = open_source(f"pairs:{root}", "train", void=2).fetch(np.arange(12))["masks"]
    np.testing.assert_array_equal(masks, np.where(arrays[1] == 2, -1, arrays[1].astype(int)))


@pytest.mark.parametrize("white", [np.uint8(255), True])  # True: one bit a pixel
def test_black_and_white_masks_are_two_classes(tmp_path, arrays, white):
    mask = arrays[1][0] > 0
    write(tmp_path / "images", "a.png", arrays[0][0])
    write(tmp_path / "masks", "a.png", white * mask)
    for classes in ((), ("background", "cell")):
        source = open_source(f"pairs:{tmp_path}", "train", classes=classes, channels=1)
        np.testing.assert_array_equal(source.fetch(np.arange(1))["masks"], [mask])
        assert len(source.info.classes) == 2 and source.info.shape[-1] == 1


def test_splits_are_subfolders_under_any_names(tmp_path, arrays):
    for split, i in (("training", 0), ("test", 1)):
        write(tmp_path / split / "images", f"{i}_{split}.png", arrays[0][i])
        write(tmp_path / split / "1st_manual", f"{i}_manual1.png", arrays[1][i])
        write(tmp_path / f"{split}x", "a.png", arrays[0][i])
        write(tmp_path / f"{split}xannot", "a.png", arrays[1][i])
    drive = dict(masks="1st_manual", match="number")
    camvid = dict(images="{split}", masks="{split}annot")
    for name, i in (("training", 0), ("test", 1)):
        masks = open_source(f"pairs:{tmp_path}", name, **drive).fetch(np.arange(1))["masks"]
        np.testing.assert_array_equal(masks[0], arrays[1][i])
        masks = open_source(f"pairs:{tmp_path}", name + "x", **camvid).fetch(np.arange(1))["masks"]
        np.testing.assert_array_equal(masks[0], arrays[1][i])
    assert len(open_source(f"pairs:{tmp_path}", "all", **drive)) == 2


def test_sizes_may_differ_where_one_is_given(root):
    write(root / "images", "99.png", np.full((3, 4, 3), 9, np.uint8))
    write(root / "masks", "99.png", np.full((3, 4), 2, np.uint8))
    source = open_source(f"pairs:{root}", "train", size=(4, 6))
    batch = source.fetch(np.array([0, 12]))
    assert batch["image"].shape == (2, 4, 6, 3) and batch["masks"].shape == (2, 4, 6)
    assert (batch["image"][1] == 9).all() and (batch["masks"][1] == 2).all()


def test_weight_map_comes_along(tmp_path):
    mask = np.zeros((9, 20), np.uint8)
    mask[:, :6] = mask[:, 8:] = 1
    write(tmp_path / "images", "a.png", np.zeros((9, 20, 3), np.uint8))
    write(tmp_path / "masks", "a.png", mask)
    source = open_source(f"pairs:{tmp_path}", "train", border_weight=10.0, void=7)
    weights = source.fetch(np.arange(1))["weight_map"]
    # Two columns of background of 20, one and two pixels from the cells.
    np.testing.assert_allclose(weights[0, :, 6:8], 20 / 2 / 2 + 10 * np.exp(-(3**2) / 50), rtol=1e-6)
    np.testing.assert_allclose(weights[0, :, :6], 20 / 18 / 2, rtol=1e-6)
    np.testing.assert_allclose(weights.mean(), 1 + 10 * np.exp(-9 / 50) / 10, rtol=1e-6)


def break_pair(root):
    (root / "masks" / "3.png").unlink()


def break_image(root):
    (root / "images" / "3.png").unlink()


def break_size(root):
    write(root / "masks", "3.png", np.zeros((5, 8), np.uint8))


def break_value(root):
    write(root / "masks", "3.png", np.full((6, 8), 3, np.uint8))


def break_void(root):
    write(root / "masks", "3.png", np.full((6, 8), 255, np.uint8))


def break_colour(root):
    write(root / "masks", "3.png", np.full((6, 8, 3), (255, 0, 0), np.uint8))


def break_sizes(root):
    write(root / "images", "3.png", np.zeros((5, 8, 3), np.uint8))
    write(root / "masks", "3.png", np.zeros((5, 8), np.uint8))


def break_file(root):
    (root / "masks" / "3.png").write_bytes(b"nothing")


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (break_pair, {}, r"images/3.png has no counterpart of the same name in .*masks"),
        (break_image, {}, r"masks/3.png has no counterpart of the same name in .*images"),
        (break_size, {}, r"3.png is 6×8 pixels and its mask .*3.png is 5×8"),
        (break_sizes, {}, r"images/3.png is 5×8 pixels, others are 6×8: set data.size"),
        (break_value, {"classes": ("a", "b", "c")}, r"masks/3.png holds the value 3, but there are 3 classes"),
        (break_void, {}, "set data.void=255"),
        (break_colour, {}, "masks/3.png has colours: data.colors is the table"),
        (break_file, {}, "cannot read image .*masks/3.png"),
        (None, {"match": "nam"}, "'name' or 'number'"),
        (None, {"size": (3,)}, r"\(height, width\)"),
        (None, {"channels": 2}, "1 or 3"),
        (None, {"masks": "labels"}, "has no folders images and labels|has no folders .*labels"),
        (None, {"void": 70_000}, "0 to 65535"),
    ],
)
def test_what_does_not_fit_is_one_clear_line(root, change, options, message):
    if change:
        change(root)
    with pytest.raises(DataError, match=message):
        source = open_source(f"pairs:{root}", "train", **options)
        source.fetch(np.arange(len(source)))


def test_no_such_folder(tmp_path):
    with pytest.raises(DataError, match="no folder"):
        open_source(f"pairs:{tmp_path / 'absent'}", "train")


@pytest.mark.parametrize(
    ("name", "split", "options", "number", "shape", "classes"),
    [
        ("isbi2012_membrane", "train", dict(images="image", masks="label", channels=1), 30, (512, 512, 1), 2),
        ("drive", "testing", dict(masks="1st_manual", match="number"), 20, (584, 565, 3), 2),
        ("camvid_small", "val", dict(images="{split}", masks="{split}annot", void=11), 101, (180, 240, 3), 11),
    ],
)
def test_shared_sets(shared_datasets, name, split, options, number, shape, classes):
    source = open_source(f"pairs:{shared_datasets / name}", split, **options)
    assert (len(source), source.info.shape, len(source.info.classes)) == (number, shape, classes)
    batch = source.fetch(np.array([0, number - 1]))
    assert batch["image"].shape == (2, *shape) and batch["masks"].shape == (2, *shape[:2])
    assert set(np.unique(batch["masks"])) <= set(range(-1, classes))
