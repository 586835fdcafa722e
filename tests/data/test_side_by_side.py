"""Pictures that hold two images side by side."""

import jax
import numpy as np
import pytest
from PIL import Image

from data import DataError, open_source
from data.augment import make_augment
from data.pipeline import Feed, resident_arrays


def write(folder, numbers, size=(16, 6)):
    """The left half holds the number, the right one the number + 100."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        pixels = np.full((size[1], size[0], 3), number, np.uint8)
        pixels[:, size[0] // 2 :] += 100
        Image.fromarray(pixels).save(folder / f"{number}.png")


@pytest.fixture
def root(tmp_path):
    write(tmp_path / "train", range(10, 15))
    write(tmp_path / "val", range(20, 23))
    return tmp_path


@pytest.mark.parametrize("reverse", [False, True])
def test_the_halves_of_a_picture_are_a_pair(root, reverse):
    source = open_source(f"side_by_side:{root}", "train", reverse=reverse)
    assert len(source) == 5 and len(open_source(f"side_by_side:{root}", "validation")) == 3
    batch = Feed(source, 5)[0]
    assert batch["image"].shape == batch["target"].shape == (5, 6, 8, 3)
    difference = batch["target"].astype(int) - batch["image"]
    assert (difference == (-100 if reverse else 100)).all()
    assert sorted(np.minimum(batch["image"], batch["target"])[:, 0, 0, 0]) == list(range(10, 15))
    assert resident_arrays(source).keys() == {"image", "target"}
    mean = np.asarray(source.info.mean) * 255
    np.testing.assert_allclose(mean, 62, atol=1e-3)  # over both halves


def test_a_pair_is_resized_and_moved_alike(root):
    source = open_source(f"side_by_side:{root}", "train", size=(4, 6))
    batch = source.fetch(np.arange(5))
    assert batch["image"].shape == (5, 4, 6, 3)
    assert (batch["target"].astype(int) - batch["image"] == 100).all()  # nothing of one half reaches the other
    row = np.arange(6, dtype=np.float32) / 10
    ramp = np.broadcast_to(row[:, None], (5, 4, 6, 3))
    batch = {"image": ramp, "target": ramp + 0.25, "id": np.arange(5)}
    moved = make_augment(("affine(translate=0.3, scale=(1.2, 1.2))",), source.info)(batch, jax.random.key(0))
    inside = (moved["image"] > 0.01) & (moved["image"] < 0.49)
    assert inside.any() and not np.allclose(moved["image"], ramp)
    np.testing.assert_allclose((moved["target"] - moved["image"])[inside], 0.25, atol=1e-5)


def test_what_is_not_a_pair_is_one_clear_line(root):
    with pytest.raises(DataError, match=r"write 'side_by_side:path'"):
        open_source("side_by_side:nowhere", "train")
    write(root / "train", [50], size=(20, 6))
    with pytest.raises(DataError, match=r"halves of .*50.png are 6×10 pixels, others are 6×8: set data.size"):
        open_source(f"side_by_side:{root}", "train")
    write(root / "train", [9], size=(15, 6))
    with pytest.raises(DataError, match=r"9.png is 6×15 pixels: two images side by side have an even width"):
        open_source(f"side_by_side:{root}", "train", size=(4, 4))


def test_the_real_maps(shared_datasets):
    """Aerial photographs at the left, maps at the right: maps have few colours."""
    source = open_source(f"side_by_side:{shared_datasets / 'maps_pix2pix'}", "train[:20]", size=(64, 64))
    assert len(open_source(f"side_by_side:{shared_datasets / 'maps_pix2pix'}", "all", size=(64, 64))) == 380
    batch = source.fetch(np.arange(20))
    assert batch["target"].mean() > 200 > batch["image"].mean()
