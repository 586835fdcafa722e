"""What is kept in the user's cache is what was made, and nothing goes wrong where it cannot be kept."""

import numpy as np
import pytest

from data import cache
from data.cache import cache_folder, kept


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cache, "WORTH_KEEPING", 0.0)
    return tmp_path / "fovea" / "arrays"


class Maker:
    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return {"image": np.full((4, 2, 2, 1), self.calls, np.uint8), "label": np.arange(4, dtype=np.int32)}


def same(found, call):
    assert found["image"].tolist() == np.full((4, 2, 2, 1), call).tolist() and found["image"].dtype == np.uint8
    assert found["label"].tolist() == [0, 1, 2, 3] and found["label"].dtype == np.int32


def test_what_was_made_for_the_same_is_not_made_again(folder):
    make = Maker()
    for identity, call in ((("a", 1), 1), (("a", 1), 1), (("a", 2), 2), (("a", 1), 1)):
        same(kept(identity, make), call)
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_what_is_damaged_is_made_anew(folder, damage):
    make = Maker()
    kept("a", make)
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    middle = whole.index(bytes([1] * 16))  # the pixels
    flipped = whole[:middle] + b"\x07" + whole[middle + 1 :]
    path.write_bytes({"cut": whole[: len(whole) // 2], "flipped": flipped, "empty": b""}[damage])
    same(kept("a", make), 2)
    same(kept("a", make), 2)


def test_what_is_made_in_no_time_or_too_large_is_not_kept(folder, monkeypatch):
    monkeypatch.setattr(cache, "LARGEST", 10)
    kept("a", Maker())
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder.parents[1]))
    kept("b", Maker())
    assert list(folder.iterdir()) == []


def test_without_a_place_it_is_made_each_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    make = Maker()
    assert cache_folder("arrays") is None
    same(kept("a", make), 1)
    same(kept("a", make), 2)


def test_a_full_disk_is_no_error(folder, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    same(kept("a", Maker()), 1)
    assert list(folder.iterdir()) == []
