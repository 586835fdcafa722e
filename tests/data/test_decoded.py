"""Pictures that are kept decoded: the same bits as without, and never those of another set, size or time."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from data import DataError, open_source
from data import decoded as module
from data.decoded import decoded
from data.pipeline import EvaluationFeed, Feed, resident_arrays


@pytest.fixture
def root(tmp_path):
    """Two classes of five pictures of many sizes, masks for them, and lists."""
    rng = np.random.default_rng(0)
    rows, boxes, captions = [], ["file,x1,y1,x2,y2,label"], ["file,caption"]
    for i in range(10):
        for folder, kind in ((f"classes/{'ab'[i % 2]}", "jpg"), ("pairs/images", "jpg"), ("pairs/masks", "png")):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            high, shape = (256, (20 + i, 30, 3)) if kind == "jpg" else (2, (20 + i, 30))
            Image.fromarray(rng.integers(0, high, shape, np.uint8)).save(tmp_path / folder / f"{i}.{kind}")
        file = f"classes/{'ab'[i % 2]}/{i}.jpg"
        boxes.append(f"{file},1,2,{10 + i},12,{'xy'[i % 2]}")
        captions.append(f"{file},number {i}")
        rows.append(file)
    for name in ("A", "B"):
        (tmp_path / "unpaired").mkdir(exist_ok=True)
        (tmp_path / "unpaired" / name).symlink_to(tmp_path / "classes" / name.lower())
    (tmp_path / "boxes.csv").write_text("\n".join(boxes))
    (tmp_path / "captions.csv").write_text("\n".join(captions))
    return tmp_path


SOURCES = {
    "folder": ("folder:{}/classes", dict(image_size=16)),
    "pairs": ("pairs:{}/pairs", dict(size=(16, 16), border_weight=10.0)),
    "boxes": ("boxes:{}/boxes.csv", dict(image_size=16)),
    "captions": ("captions:{}/captions.csv", dict(image_size=16)),
    "unpaired": ("unpaired:{}/unpaired", dict(image_size=16)),
}


def both(root, kind, split="train", **more):
    """(the source, the same kept decoded, the lines that were said)."""
    name, options = SOURCES[kind]
    options = {**options, **more}
    plain = open_source(name.format(root), split, **options)
    said = []
    return plain, decoded(plain, root / "cache", (kind, split, options), said.append), said


def kept(root):
    return sorted(file.name for file in (root / "cache").glob("*.npy"))


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert type(b[name]) is np.ndarray and a[name].dtype == b[name].dtype
        np.testing.assert_array_equal(a[name], b[name])


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("split", ["train", "train[2:]"])
def test_the_same_bits_as_without(root, kind, split, monkeypatch):
    plain, cached, said = both(root, kind, split)
    assert len(said) == 1 + len(plain.groups) and "the first use" in said[0]
    sampler = "unpaired" if kind == "unpaired" else "shuffled"
    for make in (lambda source: Feed(source, 4, seed=3, sampler=sampler), lambda source: EvaluationFeed(source, 4)):
        for step in range(3):
            assert_same(make(plain)[step], make(cached)[step])
    assert_same(resident_arrays(plain), resident_arrays(cached))
    for a, b in zip(plain.truth(np.arange(3)), cached.truth(np.arange(3)), strict=True):
        np.testing.assert_equal(a, b)
    np.testing.assert_array_equal(plain.members(root), cached.members(root))
    assert (cached.info, cached.description, len(cached)) == (plain.info, plain.description, len(plain))
    monkeypatch.setattr("data.preparation.load", lambda *_: pytest.fail("a picture was decoded"))
    assert_same(Feed(cached, 4, sampler=sampler)[0], Feed(cached, 4, sampler=sampler)[0])


def test_a_second_start_decodes_one_picture_for_its_shapes(root, monkeypatch):
    both(root, "folder")
    again, files = both(root, "folder"), kept(root)
    assert again[2] == [] and len(files) == 1
    reads = []
    whole = again[0].preparation.read
    monkeypatch.setattr(type(again[0].preparation), "read", lambda self, *rest: reads.append(1) or whole(*rest))
    decoded(again[0], root / "cache", ("folder", "train", SOURCES["folder"][1]), pytest.fail)
    assert len(reads) == 1


def changed_content(root):
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(root / "classes" / "a" / "0.jpg")


def touched(root):
    os.utime(root / "classes" / "a" / "0.jpg", ns=(1, 1))


def added(root):
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(root / "classes" / "a" / "10.jpg")


def removed(root):
    (root / "classes" / "a" / "0.jpg").unlink()


def renamed(root):
    (root / "classes" / "a").rename(root / "classes" / "c")


@pytest.mark.parametrize("change", [changed_content, touched, added, removed, renamed])
def test_what_is_stale_is_made_again_with_one_line(root, change):
    both(root, "folder")
    before = kept(root)
    change(root)
    plain, cached, (line,) = both(root, "folder")
    assert "have changed: decoding" in line
    assert len(kept(root)) == 1 and kept(root) != before
    assert_same(plain.read_all(), cached.read_all())


def test_other_code_makes_it_again(root, monkeypatch):
    both(root, "folder")
    monkeypatch.setattr(module.PIL, "__version__", "0")
    assert "have changed" in both(root, "folder")[2][0]


def test_other_options_are_another_file(root):
    for size in (16, 8):
        _, cached, (line,) = both(root, "folder", image_size=size)
        assert "the first use" in line and cached.fetch(np.arange(2))["image"].shape == (2, size, size, 3)
    assert len(kept(root)) == 2 and both(root, "folder")[2] == []


KILLED = """
import os, pathlib, sys
from data import decoded as module, open_source

module.CHUNK, left = 4, [7]
name, options, cache, opened = eval(sys.argv[1])
source = open_source(name, "train", **options)
fetch = source.fetch

def dying(ids, keys=None):
    left[0] -= 1
    return fetch(ids, keys) if left[0] else os._exit(9)

source.fetch = dying
module.decoded(source, pathlib.Path(cache), opened, lambda line: None)
"""


@pytest.mark.parametrize("kind", ["folder", "pairs"])
def test_killed_in_the_middle_it_is_made_again_with_one_line(root, kind):
    name, options = SOURCES[kind]
    given = repr((name.format(root), options, str(root / "cache"), (kind, "train", options)))
    assert subprocess.run([sys.executable, "-c", KILLED, given]).returncode == 9
    assert kept(root) == [] and list((root / "cache").glob("*.partial"))
    plain, cached, (line,) = both(root, kind)
    assert "an earlier start was cut short" in line and not list((root / "cache").glob("*.partial"))
    assert_same(plain.read_all(), cached.read_all())


@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_a_damaged_file_is_made_again_with_one_line(root, damage):
    both(root, "folder")
    (file,) = (root / "cache").glob("*.npy")
    content = file.read_bytes()
    file.write_bytes({"cut": content[:-1], "empty": b"", "text": b"no array"}[damage])
    plain, cached, (line,) = both(root, "folder")
    assert "the file is damaged" in line
    assert_same(plain.read_all(), cached.read_all())


def test_nothing_in_it_is_pickled(root):
    _, cached, _ = both(root, "folder")
    (file,) = (root / "cache").glob("*.npy")
    assert isinstance(np.load(file, allow_pickle=False), np.ndarray) and not cached.records.dtype.hasobject


def test_a_full_disk_leaves_nothing(root, monkeypatch):
    full = lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    monkeypatch.setattr(module.np.lib.format, "write_array_header_1_0", full)
    with pytest.raises(DataError, match=r"data\.cache: .*cache: No space left on device"):
        both(root, "folder")
    assert kept(root) == [] and not list((root / "cache").glob("*.partial"))


def test_what_cannot_be_kept_is_refused(root):
    with pytest.raises(DataError, match=r"data\.crop='random' takes another part of it at each use"):
        both(root, "folder", crop="random")
    with (root / "captions.csv").open("a") as file:
        file.write("\nclasses/a/0.jpg,another")
    with pytest.raises(DataError, match="one of several captions is drawn at each use"):
        both(root, "captions")
    with pytest.raises(DataError, match="decoded from files: these data have none"):
        decoded(open_source("digits", "train"), root / "cache", "digits", pytest.fail)
    (root / "file").write_text("")
    with pytest.raises(DataError, match=r"data\.cache: .*file/cache: Not a directory"):
        decoded(both(root, "folder")[0], root / "file" / "cache", "folder", pytest.fail)
