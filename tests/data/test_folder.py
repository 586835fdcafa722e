import numpy as np
import pytest
from PIL import Image

from data import DataError, open_source
from data.pipeline import EvaluationFeed, Feed, resident_arrays
from data.placement import center_box, random_box


def write(path, images):
    """images: [N, H, W, C] uint8 -> path/0.png, …"""
    path.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        Image.fromarray(image).save(path / f"{i}.png")


def noise(seed, n, height=8, width=8):
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), np.uint8)


@pytest.fixture
def flat(tmp_path):
    """path/{ape,bee}/*.png, 10 each."""
    write(tmp_path / "ape", noise(0, 10))
    write(tmp_path / "bee", noise(1, 10))
    return tmp_path


def test_pixels_labels_and_classes(flat):
    source = open_source(f"folder:{flat}", "train")
    assert source.info.classes == ("ape", "bee")
    assert source.info.shape == (8, 8, 3)
    whole = source.resident()
    for i, file in enumerate(source.files):
        seed = source.info.classes.index(file.parent.name)
        assert whole["label"][i] == seed
        np.testing.assert_array_equal(whole["image"][i], noise(seed, 10)[int(file.stem)])
    pixels = np.concatenate([noise(0, 10), noise(1, 10)]) / 255
    np.testing.assert_allclose(source.info.mean, pixels.mean((0, 1, 2)))
    np.testing.assert_allclose(source.info.std, pixels.std((0, 1, 2)))


def test_slices_are_disjoint_hold_all_classes_and_stay_the_same(flat):
    train, rest = (open_source(f"folder:{flat}", split) for split in ("train[:80%]", "train[80%:]"))
    assert len(set(train.files) | set(rest.files)) == len(train) + len(rest) == 20
    assert set(train.labels()) == set(rest.labels()) == {0, 1}
    assert train.files == open_source(f"folder:{flat}", "train[:80%]").files
    assert train.files != open_source(f"folder:{flat}", "train[:80%]", split_seed=1).files


def test_sub_folders_are_splits(tmp_path):
    for split, n in (("train", 3), ("val", 2), ("test", 1)):
        for i, name in enumerate(("ape", "bee")):
            write(tmp_path / split / name, noise(i, n))
    assert [len(open_source(f"folder:{tmp_path}", s)) for s in ("train", "val", "test", "all")] == [6, 4, 2, 12]
    with pytest.raises(DataError, match="no split 'vall': there is train, validation, test"):
        open_source(f"folder:{tmp_path}", "vall")


def test_csv(flat):
    (flat / "labels.csv").write_text("file,label\nape/0.png,x\nbee/3.png,y\nape/2.png,y\n")
    source = open_source(f"folder:{flat}/labels.csv", "train")
    names = {file.relative_to(flat).as_posix(): int(y) for file, y in zip(source.files, source.labels(), strict=True)}
    assert names == {"ape/0.png": 0, "bee/3.png": 1, "ape/2.png": 1}
    (flat / "labels.csv").write_text("file,label\nape/0.png,x\nape/99.png,y\n")
    with pytest.raises(DataError, match=r"labels\.csv line 3: no file .*99\.png"):
        open_source(f"folder:{flat}/labels.csv", "train")
    (flat / "labels.csv").write_text("name,label\nape/0.png,x\n")
    with pytest.raises(DataError, match="needs the columns file, label: the first row is name, label"):
        open_source(f"folder:{flat}/labels.csv", "train")


def test_grey_16_bit_and_transparent_images(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    Image.fromarray(np.full((4, 4), 65535 // 2, np.uint16)).save(tmp_path / "a" / "16.png")
    Image.fromarray(np.full((4, 4, 4), 127, np.uint8)).save(tmp_path / "b" / "rgba.png")
    source = open_source(f"folder:{tmp_path}", "train", channels=1)
    assert source.info.shape == (4, 4, 1)
    assert set(np.unique(source.resident()["image"])) == {127, 191}, "half grey, and the same half seen on white"


def test_corrupt_files_are_named_or_skipped(flat):
    (flat / "ape" / "3.png").write_bytes((flat / "ape" / "3.png").read_bytes()[:120])
    (flat / "bee" / "4.png").write_bytes(b"not an image")
    options = {"image_size": 8, "crop": "resize"}
    with pytest.raises(DataError, match=r"cannot read image .*(3|4)\.png"):
        open_source(f"folder:{flat}", "train", **options).resident()
    with pytest.raises(DataError, match=r"cannot read image .*(3|4)\.png"):
        open_source(f"folder:{flat}", "train")
    with pytest.warns(UserWarning, match="left out 2 corrupt images"):
        source = open_source(f"folder:{flat}", "train", skip_corrupt=True, **options)
    assert len(source) == 18
    assert not {"ape/3.png", "bee/4.png"} & {file.relative_to(flat).as_posix() for file in source.files}
    assert sum(batch["mask"].sum() for batch in EvaluationFeed(source, 4)) == 18


@pytest.mark.parametrize(
    ("prepare", "options", "message"),
    [
        (lambda p: None, {}, "no images under"),
        (lambda p: (write(p / "a", noise(0, 1)), write(p / "b", noise(0, 1, 8, 9))), {}, "set data.image_size"),
        (lambda p: None, {"crop": "random"}, "needs data.image_size"),
        (lambda p: None, {"crop": "centre"}, "did you mean 'center'"),
        (lambda p: None, {"channels": 2}, "must be 1 or 3"),
    ],
)
def test_errors_name_the_remedy(tmp_path, prepare, options, message):
    prepare(tmp_path)
    with pytest.raises(DataError, match=message) as error:
        open_source(f"folder:{tmp_path}", "train", **options)
    assert "\n" not in str(error.value)


def test_missing_folder():
    with pytest.raises(DataError, match="no folder 'absent'"):
        open_source("folder:absent", "train")


def test_random_crops_depend_on_seed_epoch_and_id_alone(tmp_path):
    write(tmp_path / "a", noise(0, 3, 40, 60))
    write(tmp_path / "b", noise(1, 3, 50, 30))
    source = open_source(f"folder:{tmp_path}", "train", image_size=16, crop="random")
    assert resident_arrays(source) is None

    def by_use(batch_size, seed=0):
        """(epoch, id) -> image, over two epochs."""
        feed = Feed(source, batch_size, seed=seed)
        iterator = feed.start()
        batches = [next(iterator) for _ in range(12 // batch_size)]
        iterator.close()
        ids, images = (np.concatenate([batch[k] for batch in batches]) for k in ("id", "image"))
        return {(p // 6, i): image for p, (i, image) in enumerate(zip(ids.tolist(), images, strict=True))}

    small, large, other = by_use(2), by_use(6), by_use(6, seed=1)
    assert small.keys() == large.keys()
    assert all(np.array_equal(small[use], large[use]) for use in small)
    assert not any(np.array_equal(large[0, i], large[1, i]) for i in range(6))
    assert not any(np.array_equal(large[0, i], other[0, i]) for i in range(6))
    # Evaluation takes the central crop, the same every time.
    centre = open_source(f"folder:{tmp_path}", "train", image_size=16)
    for batch in EvaluationFeed(source, 4):
        np.testing.assert_array_equal(batch["image"], centre.fetch(batch["id"])["image"])


def test_centre_crop_is_resize_then_crop():
    """Of a 640 x 480 image at 224: the shorter side to 256, then the central 224 x 224."""
    left, top, right, bottom = center_box(640, 480)
    scale = 256 / 480
    assert right - left == bottom - top == pytest.approx(224 / scale)
    assert (left + right) / 2 == 320
    assert (top + bottom) / 2 == 240


def test_random_boxes_cover_the_stated_areas_and_aspects():
    rng = np.random.default_rng(0)
    boxes = np.array([random_box(300, 200, rng) for _ in range(2000)])
    left, top, right, bottom = boxes.T
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (right <= 300).all()
    assert (bottom <= 200).all()
    width, height = right - left, bottom - top
    area, aspect = width * height / 60_000, width / height
    assert 0.075 < area.min() < 0.1
    assert 0.85 < area.max() <= 8 / 9 + 0.01  # 4/3 of the height is the widest that fits
    assert 0.73 < aspect.min() < 0.77
    assert 1.29 < aspect.max() < 1.37
    assert random_box(1000, 10, rng) == (495, 0, 505, 10)
