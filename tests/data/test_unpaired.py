"""Two folders that do not belong together one by one, and one picture."""

import jax
import numpy as np
import pytest
from PIL import Image

from data import DataError, open_source
from data.augment import make_augment
from data.pipeline import Feed, resident_arrays


def write(folder, values, size=(8, 6)):
    folder.mkdir(parents=True, exist_ok=True)
    for value in values:
        Image.new("RGB", size, (value,) * 3).save(folder / f"{value}.png")


@pytest.fixture
def root(tmp_path):
    write(tmp_path / "A", range(10, 17))
    write(tmp_path / "B", range(100, 105))
    return tmp_path


def test_each_folder_is_read_in_its_own_order(root):
    source = open_source(f"unpaired:{root}", "train")
    assert len(source) == 7 and len(source.groups["other"]) == 5
    batch = Feed(source, 35, sampler="unpaired")[0]
    assert sorted(batch["image"][:, 0, 0, 0]) == sorted([*range(10, 17)] * 5)
    assert sorted(batch["other"][:, 0, 0, 0]) == sorted([*range(100, 105)] * 7)
    arrays = resident_arrays(source)
    assert {name: len(x) for name, x in arrays.items()} == {"image": 7, "other": 5}
    assert source.info.classes == () and source.info.fields["other"].group == "other"


def test_folders_and_splits_under_any_names(tmp_path):
    for split, n in (("train", 3), ("test", 2)):
        write(tmp_path / f"{split}A", range(n))
        write(tmp_path / f"{split}B", range(50, 51 + n))
        write(tmp_path / split / "horse", range(n))
        write(tmp_path / split / "zebra", range(n))
    options = dict(a="{split}A", b="{split}B")
    assert len(open_source(f"unpaired:{tmp_path}", "train", **options)) == 3
    assert len(open_source(f"unpaired:{tmp_path}", "test", **options).groups["other"]) == 3
    assert len(open_source(f"unpaired:{tmp_path}", "train[:2]", a="horse", b="zebra")) == 2


def test_sizes_may_differ_where_one_is_given(root):
    write(root / "B", [200], size=(30, 20))
    with pytest.raises(DataError, match=r"6×8 pixels and .*200.png has 20×30: set data.image_size"):
        open_source(f"unpaired:{root}", "train")
    source = open_source(f"unpaired:{root}", "train", image_size=16, crop="random")
    batch = Feed(source, 4, sampler="unpaired")[0]
    assert batch["image"].shape == batch["other"].shape == (4, 16, 16, 3)
    assert resident_arrays(source) is None
    out = make_augment(("random_crop(8)",), source.info)(batch, jax.random.key(0))
    assert out["image"].shape == out["other"].shape == (4, 8, 8, 3)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (None, {"b": "C"}, "has no folders .*A and .*C: data.a and data.b name them"),
        ("empty", {}, "no images in .*B"),
        (None, {"channels": 2}, "1 or 3"),
        (None, {"crop": "random"}, "needs data.image_size"),
    ],
)
def test_faults_are_one_clear_line(root, change, options, message):
    if change:
        for file in (root / "B").iterdir():
            file.unlink()
    with pytest.raises(DataError, match=message):
        open_source(f"unpaired:{root}", "train", **options)


def test_a_folder_that_is_not_there():
    with pytest.raises(DataError, match="no folder 'absent': write 'unpaired:path'"):
        open_source("unpaired:absent", "train")


def test_one_picture_is_a_set_of_one(tmp_path):
    write(tmp_path, [77], size=(30, 20))
    source = open_source(f"image:{tmp_path}/77.png", "train")
    assert len(source) == 1 and source.info.shape == (20, 30, 3)
    assert (source.resident()["image"] == 77).all()
    small = open_source(f"image:{tmp_path}/77.png", "train", image_size=(8, 10), crop="letterbox", channels=1)
    image = small.fetch(np.arange(1))["image"]
    assert image.shape == (1, 8, 10, 1) and set(np.unique(image)) == {0, 77}
    assert Feed(small, 3)[5]["id"].tolist() == [0, 0, 0]
    with pytest.raises(DataError, match=r"no file 'absent\.png'"):
        open_source("image:absent.png", "train")
    with pytest.raises(DataError, match="no split 'test'"):
        open_source(f"image:{tmp_path}/77.png", "test")
